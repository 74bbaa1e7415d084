"""The frames of many steps at once, decoded on all cores straight into the batch."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

WORKERS = os.cpu_count() or 1  # threads that decode
PIECES = 4 * WORKERS  # of a batch: none of the threads waits long for the last one


class Frames:
    """Every step of the episodes, one after another, is a row; a row has one frame per camera."""

    def __init__(self, spec: Spec, episodes: Sequence[Episode]) -> None:
        self.shape = frame_shape(spec)
        self._cameras = [camera.name for camera in spec.cameras]
        self._episodes = list(episodes)
        lengths = [len(episode) for episode in episodes]
        self._first = np.cumsum([0, *lengths]).tolist()  # plain numbers: NumPy's are slow one by one
        self._episode = np.repeat(np.arange(len(lengths)), lengths).tolist()
        self._workers = ThreadPoolExecutor(WORKERS, "decode")
        self._buffers = Buffers()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [*rows, C, H, W, 3]. A row that stands there several times is decoded once."""
        if not self._cameras:
            return np.empty((*rows.shape, *self.shape), np.uint8)
        frames = self._buffers.take((*rows.shape, *self.shape))
        flat, wanted = frames.reshape(-1, *self.shape), rows.reshape(-1).tolist()
        places: dict[int, list[int]] = {}
        for place, row in enumerate(wanted):
            places.setdefault(row, []).append(place)
        work = sorted(places.items())  # neighbours on disk belong together

        def fill(piece: range) -> None:
            for row, (first, *others) in work[piece.start : piece.stop]:
                self._decode(row, flat[first])
                for other in others:
                    flat[other] = flat[first]

        self._spread(fill, len(work))
        return frames

    def copy(self, cache: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """uint8 [*rows, C, H, W, 3] from the frames of all rows, `read_all`'s."""
        if not self._cameras:
            return cache[rows]
        frames = self._buffers.take((*rows.shape, *self.shape))
        return np.take(cache, rows, 0, frames, "clip")  # clip: without a buffer between

    def read_all(self, valid: np.ndarray) -> np.ndarray:
        """uint8 [rows, C, H, W, 3] of the rows that are valid, bool [rows]; the others are neither read nor touched."""
        frames, rows = np.empty((len(valid), *self.shape), np.uint8), np.flatnonzero(valid)

        def fill(piece: range) -> None:
            for row in rows[piece.start : piece.stop].tolist():
                self._decode(row, frames[row])

        self._spread(fill, len(rows))
        return frames

    def _decode(self, row: int, out: np.ndarray) -> None:
        """The frames of one row into `out`, uint8 [C, H, W, 3]."""
        episode = self._episode[row]
        self._episodes[episode].read_frames(self._cameras, row - self._first[episode], out)

    def _spread(self, fill: Callable[[range], None], count: int) -> None:
        """`fill` on all cores, each time with a part of range(count)."""
        bounds = [count * piece // PIECES for piece in range(PIECES + 1)]
        pieces: Iterable[range] = (range(a, b) for a, b in zip(bounds, bounds[1:], strict=False) if a < b)
        for _ in self._workers.map(fill, pieces):
            pass


class Buffers:
    """Memory for batches. It comes back when nobody holds the array nor a view of it any more: fresh memory costs a
    page fault every 4 KiB, which is time that decoding needs."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An uninitialised array uint8 [*shape]."""
        storage = self._find(math.prod(shape))
        array = np.frombuffer(memoryview(storage), np.uint8)  # the base of every view: it lives as long as they do
        weakref.finalize(array, self._free.append, storage).atexit = False
        return array[: math.prod(shape)].reshape(shape)

    def _find(self, size: int) -> np.ndarray:
        with self._lock:
            while self._free:
                storage = self._free.pop()
                if size <= storage.size <= 2 * size:  # others are of a batch size that is no longer asked for
                    return storage
        return np.empty(size + size // 8, np.uint8)  # the next batch may hold a few frames more


def frame_shape(spec: Spec) -> tuple[int, int, int, int]:
    """[C, H, W, 3] of one step's frames; [0, 1, 1, 3] of a robot without cameras."""
    sizes = {(camera.height, camera.width) for camera in spec.cameras} or {(1, 1)}
    if len(sizes) != 1:
        raise QtxError(f"cameras of robot {spec.name!r} have the sizes {sorted(sizes)}, a batch needs them equal")
    return (len(spec.cameras), *sizes.pop(), 3)
