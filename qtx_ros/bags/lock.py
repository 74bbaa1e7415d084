"""How others tell a recording that runs from one whose recorder died: the running one holds a lock in its folder."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

LOCK_FILE = ".lock"


def hold(folder: str | Path) -> IO[bytes]:
    """Lock a recording's folder until the returned file is closed or this process ends, however it ends.

    On a file system without locks this does nothing.
    """
    file = open(Path(folder) / LOCK_FILE, "wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
    return file


def is_held(folder: str | Path) -> bool:
    """Whether a live process is writing the recording in this folder."""
    try:
        with open(Path(folder) / LOCK_FILE, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
