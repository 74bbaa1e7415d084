"""Child processes that never outlive their parent: stopped on exit, on Ctrl-C, and when the parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from qtx_ros.errors import QtxError

_PR_SET_PDEATHSIG = 1


class Children:
    """A context manager that owns named child processes; each writes its output to `<folder>/<name>.log`."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Children:
        self._terminate = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(self, *_exception) -> None:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave a child behind
        self.stop()
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> None:
        """Start one process in a group of its own."""
        with open(self.folder / f"{name}.log", "wb") as log:
            self._processes[name] = start(command, log, env)

    def check(self) -> None:
        """Raise QtxError when a child has ended by itself, with the last line it wrote."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self.folder / f"{name}.log"
                lines = log.read_text(errors="replace").strip().splitlines()
                raise QtxError(
                    f"the {name} process ended with status {process.returncode}: {lines[-1] if lines else 'no output'}"
                    f" (see {log})"
                )

    def stop(self, patience: float = 5.0) -> None:
        """Ask every child to stop, last started first, and kill what is left after `patience` seconds."""
        end(reversed(self._processes.values()), patience)
        self._processes.clear()


def start(command: Sequence[str], log: BinaryIO, env: Mapping[str, str] | None = None) -> subprocess.Popen:
    """Start a process in a group of its own, which does not outlive this one; all it says goes to `log`."""
    return subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )


def end(processes: Iterable[subprocess.Popen], patience: float) -> None:
    """Ask all to stop (SIGINT), in this order, and kill the groups of those that are left after `patience` seconds."""
    processes = list(processes)
    for process in processes:
        _signal_group(process, signal.SIGINT)
    deadline = time.monotonic() + patience
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: subprocess.Popen, number: int) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


def _interrupt(_number, _frame) -> None:
    raise KeyboardInterrupt


def die_with_parent() -> None:
    """For `preexec_fn` on Linux: the process gets SIGTERM when the one that started it ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
