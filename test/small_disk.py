"""Disks that refuse, and disks that nobody else fills."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The disk refuses this process whatever makes a file larger than this [bytes]."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@contextmanager
def quiet_folder() -> Iterator[Path]:
    """A folder on a disk whose free space nobody else changes, if there is one."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 60 << 20
    folder = Path(tempfile.mkdtemp(dir=shared if roomy else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def fill(file: Path, size: int) -> None:
    """A file that takes room [bytes]."""
    with open(file, "wb") as opened:
        os.posix_fallocate(opened.fileno(), 0, size)
