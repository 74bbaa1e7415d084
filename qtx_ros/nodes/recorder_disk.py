"""How much room the disk has. A thread of its own asks: a mount that hangs holds up whoever asks it."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from qtx_ros.errors import QtxError

MIB = 1 << 20
ASK_SECONDS = 0.2
PATIENCE = 2.0  # [s] a disk that takes longer to answer is a problem


class Disk:
    """The disk of a folder, which may not be there yet; nothing starts with less than `min_free_mib` free."""

    def __init__(self, folder: Path, min_free_mib: int) -> None:
        self._folder, self._min_free_mib = folder, min_free_mib
        self._answer: tuple[int, OSError | None] | None = None  # the newest: free bytes, or why it does not say
        self._asked: float | None = None  # [s] when the thread asked, while it waits for the answer
        self._ended = threading.Event()

    @property
    def free(self) -> int:
        """Free bytes by the newest answer; 0: unknown."""
        return self._answer[0] if self._answer else 0

    def watch(self) -> None:
        """Ask again and again, in another thread, until `close`."""
        threading.Thread(target=self._watch, name="disk", daemon=True).start()

    def close(self) -> None:
        """Ask no more."""
        self._ended.set()

    def prepare(self) -> None:
        """Make the folder; QtxError if that cannot be, the disk does not answer, or it has less free than asked for."""
        if text := self.silence():
            raise QtxError(text)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QtxError(f"cannot write to {self._folder}: {error.strerror}") from None
        self._ask()
        if text := self.problem():
            raise QtxError(text)

    def problem(self, running: bool = True) -> str:
        """Why nothing (more) can be recorded, by the newest answer; empty if it can. A folder that is missing matters
        while an episode runs: it is made for the first one."""
        free, error = self._answer or (None, None)
        if isinstance(error, FileNotFoundError) and not running:
            return ""
        if error is not None:
            return f"cannot write to {self._folder}: {error.strerror}"
        if free is not None and free // MIB < self._min_free_mib:
            return f"{self._folder} has {free // MIB} MiB free, min_free_mib asks for {self._min_free_mib}"
        return ""

    def silence(self) -> str:
        """A sentence while the disk owes an answer for longer than it should, as a mount does that hangs."""
        asked = self._asked
        waited = 0.0 if asked is None else time.monotonic() - asked
        return f"{self._folder} has not answered for {waited:.0f} s" if waited > PATIENCE else ""

    def _watch(self) -> None:
        while not self._ended.wait(ASK_SECONDS):
            self._asked = time.monotonic()
            self._ask()
            self._asked = None

    def _ask(self) -> None:
        try:
            self._answer = shutil.disk_usage(self._folder).free, None
        except OSError as error:
            self._answer = 0, error
