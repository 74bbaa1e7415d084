"""rclpy's Future."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any


class Future:
    """A result that comes later; callbacks run in the thread that sets it."""

    def __init__(self, *, executor=None) -> None:
        self._condition = threading.Condition()
        self._done = self._cancelled = False
        self._result: Any = None
        self._exception: BaseException | None = None
        self._callbacks: list[Callable[[Future], None]] = []

    def done(self) -> bool:
        return self._done or self._cancelled

    def cancelled(self) -> bool:
        return self._cancelled

    def result(self) -> Any:
        """The result, None while it is not there; raises what `set_exception` was given."""
        if self._exception:
            raise self._exception
        return self._result

    def exception(self) -> BaseException | None:
        return self._exception

    def set_result(self, result: Any) -> None:
        self._finish(result=result)

    def set_exception(self, exception: BaseException) -> None:
        self._finish(exception=exception)

    def cancel(self) -> None:
        if not self.done():
            self._finish(cancelled=True)

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        """Call `callback(future)` when done, at once if it is."""
        with self._condition:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback(self)

    def remove_done_callback(self, callback: Callable[[Future], None]) -> bool:
        with self._condition:
            kept = [other for other in self._callbacks if other != callback]
            removed = len(kept) < len(self._callbacks)
            self._callbacks = kept
            return removed

    def wait(self, timeout: float | None = None) -> bool:
        """Block until done [s]; for threads that do not spin."""
        with self._condition:
            return self._condition.wait_for(self.done, timeout)

    def _finish(self, result: Any = None, exception: BaseException | None = None, cancelled: bool = False) -> None:
        with self._condition:
            self._result, self._exception, self._cancelled = result, exception, cancelled
            self._done = not cancelled
            callbacks, self._callbacks = self._callbacks, []
            self._condition.notify_all()
        for callback in callbacks:
            callback(self)

    def __await__(self) -> Generator[None, None, Any]:
        while not self.done():
            yield
        return self.result()
