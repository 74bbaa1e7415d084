"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from qtx_ros.errors import QtxError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut; QtxError if it cannot be."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(hidden, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)
    except OSError as error:
        hidden.unlink(missing_ok=True)
        raise QtxError(f"cannot write {path}: {error.strerror}") from None
