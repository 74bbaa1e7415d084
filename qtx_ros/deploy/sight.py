"""Pictures encoded when they arrive: at the tick their tokens are there already."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qtx_ros.deploy.session import Buffer, Session, bind

Seen = tuple[np.ndarray, np.ndarray]  # a frame, its tokens


def last_before(tick_ns: int, now_ns: int, before_ns: int) -> bool:
    """Whether the frame of now may be the last one before a tick, the camera's frame before it being of `before_ns`.

    False if another one is due well before the tick: encoding this one would be for nothing. A late one costs little.
    """
    return now_ns + 3 * (now_ns - before_ns) // 2 >= tick_ns


class Sight:
    """`frame.onnx`, and the tokens of the last two frames of each camera: a tick may belong to the one before the last.

    Frames are told apart by identity, so nobody may change an array that was shown. Safe across threads.
    """

    def __init__(self, session: Session, cameras: Sequence[str], do: Callable[..., Any]) -> None:
        """`do(work)`: calls `work()` in the thread that runs the graphs."""
        ports = session.inputs | session.outputs
        self._buffers = {name: Buffer(port, session.device) for name, port in ports.items()}
        self._session, self._binding = session.session, bind(session, self._buffers, self._buffers)
        self._do, self._lock = do, threading.Lock()
        self._cameras, self._instructed = tuple(cameras), False
        self._encoding: np.ndarray | None = None
        self._forget()

    def instruct(self, features: np.ndarray) -> None:
        """Another instruction, features [1, F]: what was encoded under the one before is of no use."""
        with self._lock:
            np.copyto(self._buffers["features"].host, features)
            self._do(self._buffers["features"].push)
            self._instructed = True
            self._forget()

    def see(self, camera: str, frame: np.ndarray) -> None:
        """Encode a frame, uint8 [H, W, 3]. Nothing is done before the first instruction."""
        with self._lock:
            if not self._instructed:
                return
            self._encoding = frame
            np.copyto(self._buffers["frame"].host, frame)
            tokens = self._do(self.run).copy()
            self._kept[camera] = ((frame, tokens), *self._kept[camera][:1])
            self._encoding = None

    def tokens(self, frames: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """Tokens of these very frames, one for each camera; None if one of them was not seen."""
        if any(frame is self._encoding for frame in frames):
            with self._lock:  # the rest of its encoding is shorter than all of it
                pass
        found = [self._find(camera, frame) for camera, frame in zip(self._cameras, frames, strict=True)]
        return None if any(tokens is None for tokens in found) else found

    def run(self) -> np.ndarray:
        """Run the graph on what the buffers hold; its output, overwritten by the next run."""
        self._buffers["frame"].push()
        self._session.run_with_iobinding(self._binding)
        return self._buffers["tokens"].pull()

    def _find(self, camera: str, frame: np.ndarray) -> np.ndarray | None:
        return next((tokens for seen, tokens in self._kept[camera] if seen is frame), None)

    def _forget(self) -> None:
        self._kept: dict[str, tuple[Seen, ...]] = dict.fromkeys(self._cameras, ())
