"""Frames → mp4 files that hold many episodes one after another, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from qtx_ros.data.lerobot.layout import VIDEO_MB, VIDEO_PATH, place
from qtx_ros.errors import QtxError

GOP = 2  # every second frame can be decoded on its own, as in LeRobot's videos
LONGEST = 1000.0  # [s] LeRobot looks frames up by float32 seconds within 0.1 ms: later ones would not be found


@dataclass(frozen=True)
class Codec:
    """How videos are compressed: the encoder's name and options, and the name players know."""

    encoder: str
    name: str
    options: dict[str, str]


CODECS = {
    # the same quality: h264 takes a fifth of the time, av1 (LeRobot's own settings) less than half of the bytes
    "h264": Codec("libx264", "h264", {"preset": "ultrafast", "crf": "26", "bf": "0", "threads": "1"}),
    "av1": Codec("libsvtav1", "av1", {"preset": "12", "crf": "30", "g": str(GOP), "svtav1-params": "lp=1"}),
}


def video_info(codec: Codec, fps: float) -> dict:
    """What `meta/info.json` says of every video."""
    return {
        "video.codec": codec.name,
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }


def yuv420(frame: np.ndarray) -> np.ndarray:
    """Planes of a frame uint8 [H, W, 3] RGB, BT.601 in the range of video: uint8 [1.5 H, W]; H and W are even.

    The colour of a block of 2x2 pixels is that of their mean; OpenCV's own conversion takes that of one of them.
    """
    planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
    height, width = frame.shape[:2]
    half = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    colour = cv2.convertScaleAbs(cv2.cvtColor(half, cv2.COLOR_RGB2YCrCb), alpha=224 / 255, beta=128 * 31 / 255)
    blue, red = planes[height:].reshape(2, height // 2, width // 2)
    blue[:], red[:] = colour[:, :, 2], colour[:, :, 1]
    return planes


class VideoWriter:
    """The videos of one camera: episodes one after another, a new file where the last is full."""

    def __init__(self, root: Path, key: str, size: tuple[int, int], fps: float, codec: Codec) -> None:
        if size[0] % 2 or size[1] % 2:
            raise QtxError(f"{key} is {size[0]}x{size[1]} px, a video needs even sizes; export it with --images png")
        self._root, self._key, self._size, self._codec = root, key, size, codec
        self._fps = Fraction(fps).limit_denominator(1001)
        self._number, self._container, self._stream = -1, None, None
        self._frames = self._bytes = 0

    def write(self, frames: Iterable[np.ndarray], count: int) -> dict[str, int | float]:
        """Append an episode of `count` frames uint8 [H, W, 3]; where it lies: chunk, file and seconds from … to."""
        full = self._bytes >= VIDEO_MB << 20 or (self._frames + count) / self._fps > LONGEST
        if self._container is None or (full and self._frames):
            self._open()
        start = self._frames
        for frame in frames:
            self._encode(frame)
        if self._frames - start != count:
            raise QtxError(f"{self._key}: got {self._frames - start} frames for an episode of {count} steps")
        span = {"from_timestamp": float(start / self._fps), "to_timestamp": float(self._frames / self._fps)}
        return {**place(self._number), **span}

    def _open(self) -> None:
        import av

        self.close()
        self._number, self._frames, self._bytes = self._number + 1, 0, 0
        path = self._root / VIDEO_PATH.format(video_key=self._key, **place(self._number))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w")
        try:
            self._stream = self._container.add_stream(self._codec.encoder, rate=self._fps)
        except ValueError:
            encoder = self._codec.encoder
            raise QtxError(f"PyAV {av.__version__} has no encoder {encoder!r}, use another --codec") from None
        self._stream.height, self._stream.width = self._size
        self._stream.pix_fmt, self._stream.options = "yuv420p", self._codec.options
        self._stream.codec_context.gop_size = GOP
        self._stream.codec_context.time_base = 1 / self._fps

    def _encode(self, image: np.ndarray) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(yuv420(image), "yuv420p")
        frame.pts, frame.time_base = self._frames, 1 / self._fps
        self._frames += 1
        self._mux(frame)

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._bytes += packet.size
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file that is open, if one is."""
        if self._stream is not None:
            self._mux(None)
        if self._container is not None:
            self._container.close()
        self._container = self._stream = None


def read_video(path: Path, start: float, count: int, fps: float) -> Iterator[np.ndarray]:
    """The frames at start, start + 1/fps, … [s] of a video, uint8 [H, W, 3] RGB; QtxError if one is not there."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"err_detect": "explode"}  # a broken picture is an error, not a guess
            container.seek(max(0, int((start - 0.5 / fps) / stream.time_base)), stream=stream)
            yield from _at_times(path, container.decode(stream), start, count, fps)
    except (av.error.FFmpegError, IndexError) as error:
        raise QtxError(f"cannot read the video {path}: {' '.join(str(error).split())}") from None


def _at_times(path: Path, decoded: Iterable, start: float, count: int, fps: float) -> Iterator[np.ndarray]:
    step = 0
    for frame in decoded:
        late = float(frame.time) - (start + step / fps)
        if late < -0.25 / fps:  # between the key frame and the first one wanted
            continue
        if late > 0.25 / fps:
            break
        if frame.is_corrupt:
            raise QtxError(f"{path}: the picture at {start + step / fps:.4f} s is damaged")
        yield frame.to_ndarray(format="rgb24")
        step += 1
        if step == count:
            return
    raise QtxError(f"{path} has no frame at {start + step / fps:.4f} s, where step {step} of the episode should be")
