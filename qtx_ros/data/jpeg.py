"""The one home of JPEG. `simplejpeg` decodes where it is installed, OpenCV where not: the same pixels, bit for bit.

Both are libjpeg-turbo with the slow exact transform and smooth colour upsampling; what differs is speed and that OpenCV
takes some damaged data for a picture. Frames are encoded by OpenCV, because `simplejpeg` has only the fast, coarser
transform at quality 95; OpenCV before 4.7 (apt's of Humble and Jazzy) cannot write full colour resolution, and then
`simplejpeg` encodes after all. The same machine always writes the same bytes.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import cv2
import numpy as np

from qtx_ros.errors import QtxError

QUALITY = 95
MAX_PIXELS = 1 << 26  # 67 million; a header that promises more is an attack or damage, not a camera
START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers with the size of the picture
BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
HARMLESS_BYTES = 16  # between data and end: several webcams leave some there
OPENCV = {
    1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8
}  # fmt: skip
EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def encode(frame: np.ndarray) -> bytes:
    """JPEG of a frame uint8 [h, w, 3] RGB: quality 95 with full colour resolution (4:4:4)."""
    if not hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):
        return _encode_by_simplejpeg(frame)
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *sampling])[1].tobytes()


def _encode_by_simplejpeg(frame: np.ndarray) -> bytes:
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        raise QtxError(
            f"OpenCV {cv2.__version__} cannot write JPEG with full colour resolution: pip install simplejpeg, "
            "or store frames raw (--codec raw)"
        )
    return simplejpeg.encode_jpeg(np.ascontiguousarray(frame), QUALITY, "RGB", "444")


def decode(data: np.ndarray, least: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 [h, w, 3] RGB of anybody's JPEG, uint8 [n]; EXIF orientation is not looked at.

    `least`: a height and width that are enough. Then the transform gives a half, a quarter or an eighth of the picture,
    the smallest of them that divides it and is as large, in less time. Both libraries give the same.
    Raises QtxError for data that is cut off, damaged as far as a decoder can tell, or larger than `MAX_PIXELS`.
    """
    height, width, components = header(data)
    part = 1 if least is None else _part((height, width), least)
    simplejpeg = _simplejpeg() if components in (1, 3) else None  # it has no way from CMYK to RGB
    if simplejpeg is None:
        return _by_opencv(data, part=part)
    smaller = {"min_height": height // part, "min_width": width // part, "min_factor": 1} if part > 1 else {}
    return _by_simplejpeg(simplejpeg, data, None, **smaller)


def _part(size: tuple[int, int], least: tuple[int, int]) -> int:
    """8, 4, 2 or 1: what a picture can be divided by so that it stays as large as `least`."""
    pairs = list(zip(size, least, strict=True))
    return next((part for part in (8, 4, 2) if all(s % part == 0 and s >= part * n for s, n in pairs)), 1)


def decode_into(data: np.ndarray, out: np.ndarray) -> None:
    """Decode a JPEG that `encode` made, uint8 [n], into `out`, uint8 [h, w, 3] contiguous. Other threads run meanwhile.

    Raises QtxError for data that is damaged or of another size.
    """
    simplejpeg = _simplejpeg()
    try:
        picture = _by_opencv(data, out) if simplejpeg is None else _by_simplejpeg(simplejpeg, data, out)
    except QtxError as error:
        raise QtxError(f"a stored frame does not decode to {out.shape}: {error}") from None
    if picture.shape != out.shape:
        raise QtxError(f"a stored frame of {len(data)} bytes does not decode to {out.shape}, it is {picture.shape}")
    if picture.base is not out and not np.shares_memory(picture, out):
        out[:] = picture


def library() -> str:
    """Name and version of what decodes, for reports."""
    simplejpeg = _simplejpeg()
    return f"OpenCV {cv2.__version__}" if simplejpeg is None else f"simplejpeg {simplejpeg.__version__}"


# --- the header --------------------------------------------------------------------------------------------------

def header(data: np.ndarray) -> tuple[int, int, int]:
    """Height, width and colour components of a JPEG, uint8 [n], that has a beginning, a scan and an end."""
    view, size, position = memoryview(data), None, 2
    if bytes(view[:2]) != START:
        raise QtxError(f"JPEG of {len(data)} bytes begins with {bytes(view[:2])!r}, expected {START!r}")
    while position + 4 <= len(view):
        if view[position] != 0xFF:
            raise QtxError(f"JPEG of {len(data)} bytes has no marker at byte {position}, where its header needs one")
        marker = view[position + 1]
        if marker == 0xFF or marker in BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == SCAN:
            return _checked(size, view, position)
        if marker in FRAMES and position + 10 <= len(view):
            part = view[position + 5 : position + 10]
            size = int.from_bytes(part[:2], "big"), int.from_bytes(part[2:4], "big"), part[4]
        position += 2 + int.from_bytes(view[position + 2 : position + 4], "big")
    raise QtxError(f"JPEG of {len(data)} bytes ends within its header")


def _checked(size: tuple[int, int, int] | None, view: memoryview, scan: int) -> tuple[int, int, int]:
    if size is None or not size[0] * size[1]:
        raise QtxError(f"JPEG of {len(view)} bytes says nothing about its size")
    check_pixels("JPEG", *size[:2])
    if bytes(view[-2:]) != END and bytes(view[scan:]).rfind(END) < 0:
        raise QtxError(f"JPEG of {size[1]}x{size[0]} is cut off: it ends after {len(view)} bytes without an end marker")
    return size


def check_pixels(what: str, height: int, width: int) -> None:
    """Raise QtxError for a picture too large to be one."""
    if height * width > MAX_PIXELS:
        raise QtxError(f"{what} promises {width}x{height} pixels, expected at most {MAX_PIXELS} of them")


# --- the two libraries -------------------------------------------------------------------------------------------

@functools.cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def _by_simplejpeg(simplejpeg: Any, data: np.ndarray, out: np.ndarray | None, **smaller: int) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(data, "RGB", buffer=out, **smaller)
    except ValueError as error:
        extraneous = EXTRANEOUS.search(str(error))
        if extraneous is None or int(extraneous[1]) > HARMLESS_BYTES:
            raise QtxError(f"JPEG of {len(data)} bytes is damaged: {error}") from None
    return simplejpeg.decode_jpeg(data, "RGB", buffer=out, strict=False, **smaller)


def _by_opencv(data: np.ndarray, out: np.ndarray | None = None, part: int = 1) -> np.ndarray:
    header(data)
    try:
        bgr = cv2.imdecode(np.asarray(data), OPENCV[part] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise QtxError(f"JPEG of {len(data)} bytes is damaged: OpenCV does not decode it")
    fits = out is not None and out.shape == bgr.shape
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=out if fits else None)
