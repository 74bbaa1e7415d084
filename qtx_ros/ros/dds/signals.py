"""SIGINT and SIGTERM: both end spinning at once, SIGINT also raises KeyboardInterrupt as Python does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

HANDLED = (signal.SIGINT, signal.SIGTERM)


class _Handlers:
    """The handlers that were there before, and the pipe by which a signal reaches threads inside the DDS library."""

    def __init__(self, on_signal: Callable[[], None]) -> None:
        self._on_signal = on_signal
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._old_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, self._handle) for number in HANDLED}
        # Python runs handlers in the main thread only after its current call returns; this thread gets it to return.
        threading.Thread(target=self._listen, name="ros-signals", daemon=True).start()

    def restore(self) -> None:
        signal.set_wakeup_fd(self._old_wakeup)
        for number, old in self._old.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if old is None else old)
        os.close(self._write)

    def _listen(self) -> None:
        while data := os.read(self._read, 1):
            if data[0] in HANDLED:
                self._on_signal()
        os.close(self._read)

    def _handle(self, number: int, frame) -> None:
        self._on_signal()
        old = self._old[number]
        if callable(old):
            old(number, frame)


_installed: _Handlers | None = None


def install(on_signal: Callable[[], None]) -> None:
    """Call `on_signal` on SIGINT and SIGTERM, then the handlers that were there; only the main thread can do this."""
    global _installed
    if _installed is None and threading.current_thread() is threading.main_thread():
        _installed = _Handlers(on_signal)


def uninstall() -> None:
    """Put the former handlers back."""
    global _installed
    if _installed is not None and threading.current_thread() is threading.main_thread():
        _installed.restore()
        _installed = None
