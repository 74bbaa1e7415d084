"""Pictures in every common encoding → uint8 RGB, bit for bit what cv_bridge's `imgmsg_to_cv2(msg, "rgb8")` gives.

A new encoding is one line in `ENCODINGS`. Where cv_bridge refuses (it says nothing about colours of `8UC3` or depths of
`16UC1`), the robot's file has to say what is meant: a camera's `encoding` or `depth`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from qtx_ros.errors import QtxError

EIGHT_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # of 16: v * 255 / 65535, rounded


@dataclass(frozen=True)
class Encoding:
    """How the bytes of an image lie, and the function that makes uint8 [h, w, 3] RGB of them."""

    kind: str  # type of one value in native byte order: u1, u2, f4
    channels: int
    rgb: Callable[[np.ndarray], np.ndarray] | None = None  # None: numbers without a meaning as colours
    rows: tuple[int, int] = (1, 1)  # rows of bytes for each row of pixels, as a fraction: 3/2 for nv12
    even: tuple[int, int] = (1, 1)  # height and width must be multiples of these


# --- the seam ----------------------------------------------------------------------------------------------------

def image(
    msg: Any, encoding: str | None = None, depth: tuple[float, float] | None = None, least: object = None
) -> np.ndarray:
    """uint8 [h, w, 3] RGB of a `sensor_msgs/msg/Image`. May share memory with the message.

    `encoding` says what an image without colours (`8UC3`, …) holds; `depth` [m] which range of a depth image becomes
    black to white. Both stand in the robot's file. `least` is for compressed pictures only. Raises QtxError for what
    cannot be a picture.
    """
    name, height, width, step = str(msg.encoding), int(msg.height), int(msg.width), int(msg.step)
    layout = _known(name)
    pixels = _pixels(name, layout, height, width, step, as_bytes(msg.data))
    if layout.kind != "u1" and getattr(msg, "is_bigendian", False):
        pixels = pixels.byteswap()
    return from_pixels(pixels, name, encoding, depth)


def from_pixels(
    pixels: np.ndarray, name: str, encoding: str | None = None, depth: tuple[float, float] | None = None
) -> np.ndarray:
    """uint8 [h, w, 3] RGB of values [h, w, channels] that lie as the encoding `name` says."""
    layout = _known(name)
    if layout.rgb is not None:
        return layout.rgb(pixels)
    if name in METRES and depth is not None:
        return depth_to_rgb(pixels[..., 0] * METRES[name], depth)
    if encoding is None:
        raise QtxError(f"image encoding is {name!r}, which says nothing about colours: {_remedy(name)}")
    meant = _known(encoding)
    if (meant.kind, meant.channels) != (layout.kind, layout.channels) or meant.rgb is None:
        fits = ", ".join(other for other, e in ENCODINGS.items() if _same(e, layout) and e.rgb is not None)
        raise QtxError(f"image encoding is {name!r}, the camera's 'encoding' says {encoding!r}, expected one of {fits}")
    return meant.rgb(pixels)


def depth_to_rgb(metres: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """uint8 [h, w, 3] grey of distances [h, w] in m: the nearer of `bounds` and less is 1, the farther and more is 255,
    linear between; 0 is no measurement (zero, negative, NaN or infinite in the message)."""
    near, far = bounds
    metres = np.asarray(metres, np.float64)
    measured = np.isfinite(metres) & (metres > 0)
    share = np.clip((np.where(measured, metres, near) - near) / (far - near), 0, 1)
    grey = np.where(measured, 1 + np.rint(share * 254), 0).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def as_bytes(data: Any) -> np.ndarray:
    """uint8 [n] of whatever a backend holds bytes in, without copying where it can."""
    if isinstance(data, np.ndarray):
        return data.view(np.uint8).reshape(-1)
    try:
        return np.frombuffer(data, np.uint8)
    except TypeError:
        return np.asarray(data, np.uint8)
    except ValueError:  # numpy's word for an empty buffer
        return np.empty(0, np.uint8)


# --- bytes → values ----------------------------------------------------------------------------------------------

def _known(name: str) -> Encoding:
    if name not in ENCODINGS:
        raise QtxError(f"image encoding is {name!r}, expected one of {', '.join(ENCODINGS)}")
    return ENCODINGS[name]


def _same(a: Encoding, b: Encoding) -> bool:
    return (a.kind, a.channels, a.rows) == (b.kind, b.channels, b.rows)


def _remedy(name: str) -> str:
    if name in METRES:
        return "give the camera 'depth: [near, far]' in m to see distances as grey"
    fits = ", ".join(other for other, e in ENCODINGS.items() if _same(e, ENCODINGS[name]) and e.rgb is not None)
    return f"give the camera an 'encoding', one of {fits}" if fits else "no camera can be that"


def _pixels(name: str, layout: Encoding, height: int, width: int, step: int, data: np.ndarray) -> np.ndarray:
    """The values of an image, [h, w, channels] of the layout's kind, without the padding at the end of each row."""
    _check_size(name, layout, height, width)
    item = np.dtype(layout.kind).itemsize
    used = width * layout.channels * item
    rows = height * layout.rows[0] // layout.rows[1]
    if step < used or data.size < rows * step or step % item:
        raise QtxError(
            f"image of {width}x{height} {name} has step {step} and {data.size} bytes, "
            f"expected a step of at least {used} and {rows} x step bytes"
        )
    values = data[: rows * step].reshape(rows, step)[:, :used]
    if item > 1:
        values = np.ascontiguousarray(values).view(layout.kind)
    return values.reshape(rows, width, layout.channels)


def _check_size(name: str, layout: Encoding, height: int, width: int) -> None:
    if min(height, width) < 1:
        raise QtxError(f"image of {width}x{height} {name} has no pixels")
    if height % layout.even[0] or width % layout.even[1]:
        raise QtxError(
            f"image of {width}x{height} {name} cannot be: its width must be a multiple of {layout.even[1]}, "
            f"its height of {layout.even[0]}"
        )


# --- values → RGB ------------------------------------------------------------------------------------------------

def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels)


def _code(code: int) -> Callable[[np.ndarray], np.ndarray]:
    """A conversion of OpenCV."""
    return lambda pixels: cv2.cvtColor(pixels, code)


def _deep(rgb: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The same conversion of 16-bit values: colours first, then 8 bits, as cv_bridge does."""
    return lambda pixels: EIGHT_BITS[rgb(pixels)]


def _nv24(pixels: np.ndarray) -> np.ndarray:
    """A plane of Y, then one of U V for each pixel: the arithmetic of uyvy, where two pixels share U V."""
    rows, width = len(pixels) // 3, pixels.shape[1]
    pairs = np.empty((rows, 2 * width, 2), np.uint8)
    pairs[..., 1] = pixels[:rows, :, 0].repeat(2, 1)
    pairs[..., 0] = pixels[rows:].reshape(rows, 2 * width)
    return np.ascontiguousarray(cv2.cvtColor(pairs, cv2.COLOR_YUV2RGB_UYVY)[:, ::2])


def _pair(name: str, channels: int, rgb: Callable) -> dict[str, Encoding]:
    """An encoding of 8 bits and its sister of 16."""
    return {f"{name}8": Encoding("u1", channels, rgb), f"{name}16": Encoding("u2", channels, _deep(rgb))}


_UYVY = Encoding("u1", 2, _code(cv2.COLOR_YUV2RGB_UYVY), even=(1, 2))
_YUYV = Encoding("u1", 2, _code(cv2.COLOR_YUV2RGB_YUY2), even=(1, 2))

ENCODINGS: dict[str, Encoding] = {
    **_pair("rgb", 3, _rgb),
    **_pair("bgr", 3, _code(cv2.COLOR_BGR2RGB)),
    **_pair("rgba", 4, _code(cv2.COLOR_RGBA2RGB)),
    **_pair("bgra", 4, _code(cv2.COLOR_BGRA2RGB)),
    **_pair("mono", 1, _code(cv2.COLOR_GRAY2RGB)),
    **_pair("bayer_rggb", 1, _code(cv2.COLOR_BayerBG2RGB)),  # OpenCV names a pattern by its second row
    **_pair("bayer_bggr", 1, _code(cv2.COLOR_BayerRG2RGB)),
    **_pair("bayer_gbrg", 1, _code(cv2.COLOR_BayerGR2RGB)),
    **_pair("bayer_grbg", 1, _code(cv2.COLOR_BayerGB2RGB)),
    "yuv422": _UYVY, "uyvy": _UYVY, "yuv422_yuy2": _YUYV, "yuyv": _YUYV,
    "nv12": Encoding("u1", 1, _code(cv2.COLOR_YUV2RGB_NV12), (3, 2), (2, 2)),
    "nv21": Encoding("u1", 1, _code(cv2.COLOR_YUV2RGB_NV21), (3, 2), (2, 2)),
    "nv24": Encoding("u1", 1, _nv24, (3, 1)),
    "8UC1": Encoding("u1", 1), "8UC3": Encoding("u1", 3), "8UC4": Encoding("u1", 4),
    "16UC1": Encoding("u2", 1), "16UC3": Encoding("u2", 3), "16UC4": Encoding("u2", 4),
    "32FC1": Encoding("f4", 1),
}  # fmt: skip
METRES = {"16UC1": 1e-3, "32FC1": 1.0}  # depth images (REP 118): what one unit is [m]
