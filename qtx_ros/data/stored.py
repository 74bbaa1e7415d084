"""The frames of an episode as they lie on disk: one blob per camera and where each frame begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qtx_ros.errors import QtxError


def stored_frames(folder: Path, camera: str) -> tuple[np.ndarray, np.ndarray]:
    """Offsets int64 [N + 1] and the blob uint8 [bytes] (a memory map): frame i is blob[offsets[i] : offsets[i + 1]].

    QtxError names the file if it cannot be read, or if the offsets fall or leave the blob.
    """
    index, path = folder / f"frames_{camera}.npy", folder / f"frames_{camera}.bin"
    try:
        offsets = np.load(index, allow_pickle=False)
        blob = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except (OSError, ValueError) as error:
        raise QtxError(f"cannot read the frames of camera {camera!r} in {folder}: {error}") from None
    if offsets.dtype != np.int64 or offsets.ndim != 1 or not len(offsets):
        raise QtxError(f"{index} holds {offsets.dtype} {offsets.shape}, expected int64 [steps + 1]")
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise QtxError(f"{index}: the offsets do not rise from 0")
    if offsets[-1] != len(blob):
        raise QtxError(f"{index} ends at byte {offsets[-1]}, but {path.name} has {len(blob)} bytes")
    return offsets, blob


def repeats(offsets: np.ndarray, blob: np.ndarray) -> np.ndarray:
    """Whether a step's frame is, byte for byte, that of the step before, bool [N]; false where a step has none."""
    sizes = np.diff(offsets)
    same = np.zeros(len(sizes), bool)
    same[1:] = (sizes[1:] == sizes[:-1]) & (sizes[1:] > 0)
    for step in np.flatnonzero(same):
        start, size = offsets[step], sizes[step]
        before, now = blob[start - size : start], blob[start : start + size]
        middle = slice(size // 2, size // 2 + 256)  # differs almost always where anything does
        same[step] = np.array_equal(before[middle], now[middle]) and np.array_equal(before, now)
    return same
