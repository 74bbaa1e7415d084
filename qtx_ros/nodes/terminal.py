"""Single key presses from the terminal."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType

from qtx_ros.errors import QtxError


class Terminal:
    """Context manager: keys arrive one by one and without echo; on leaving, the terminal is as it was."""

    def __enter__(self) -> Terminal:
        import termios
        import tty

        if not sys.stdin.isatty():
            raise QtxError("the keyboard can only be read in a terminal: standard input is not one")
        self._file = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)  # Ctrl-C still interrupts
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import termios

        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def keys(self) -> str:
        """What was typed since the last call; never waits."""
        ready, _, _ = select.select([self._file], [], [], 0)
        return os.read(self._file, 1024).decode(errors="ignore") if ready else ""
