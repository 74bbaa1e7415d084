"""Pictures of `sensor_msgs/msg/CompressedImage`: JPEG, PNG, WebP, TIFF, and the compressedDepth of image_transport.

The data say what they are, not `format`; `format` says what the colours mean (see `_meaning`).
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any

import cv2
import numpy as np

from qtx_ros.data import images, jpeg
from qtx_ros.errors import QtxError

MAGIC = {
    b"\xff\xd8": "jpeg", b"\x89PNG\r\n\x1a\n": "png", b"RIFF": "webp", b"II*\0": "tiff", b"MM\0*": "tiff"
}  # fmt: skip
FORMAT = re.compile(r"^\s*(\w+)\s*;\s*(jpeg|png|tiff) compressed\s*(\w*)")  # as sensor_msgs/CompressedImage.msg says
DEPTH_HEADER = struct.Struct("<iff")  # of compressed_depth_image_transport: format, two quantisation parameters


def image(
    msg: Any,
    encoding: str | None = None,
    depth: tuple[float, float] | None = None,
    least: tuple[int, int] | None = None,
) -> np.ndarray:
    """uint8 [h, w, 3] RGB of a `sensor_msgs/msg/CompressedImage`; `encoding` and `depth` as in `images.image`.

    Of a JPEG, a half, a quarter or an eighth is decoded where that is as large as `least`: height and width.

    Raises QtxError for data that are no such picture, cut off, damaged, or too large.
    """
    form, data = str(msg.format), images.as_bytes(msg.data)
    if "compresseddepth" in form.lower():
        return _compressed_depth(form, data, encoding, depth)
    kind = _kind(form, data)
    original, target = _meaning(form)
    if kind == "jpeg":
        return _jpeg(data, original, target, encoding, depth, least)
    pixels = _unchanged(kind, data)
    return images.from_pixels(pixels, _encoding(pixels, kind, original, target), encoding, depth)


def size(msg: Any) -> tuple[int, int] | None:
    """Height and width of the JPEG in a `sensor_msgs/msg/CompressedImage`; None for other pictures."""
    data = images.as_bytes(msg.data)
    return jpeg.header(data)[:2] if data[:2].tobytes() == jpeg.START else None


# --- what the format means ---------------------------------------------------------------------------------------

def _kind(form: str, data: np.ndarray) -> str:
    start = data[:8].tobytes()
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            return kind
    raise QtxError(
        f"compressed image of format {form!r} has {len(data)} bytes that begin with {start!r}, "
        f"expected jpeg, png, webp or tiff"
    )


def _meaning(form: str) -> tuple[str, str]:
    """Encoding before compression, and the one that was compressed ("" where nothing was converted).

    "rgb8; jpeg compressed bgr8": rgb8 converted to OpenCV's bgr8, so the JPEG has true colours. "rgb8; jpeg compressed
    rgb8": what OpenCV took for B, G, R was R, G, B. Anything else says nothing, and the data's own colours count.
    """
    found = FORMAT.match(form)
    return (found[1], found[3]) if found else ("", "mono8")


def _jpeg(data: np.ndarray, original: str, target: str, encoding: str | None, depth: Any, least: Any) -> np.ndarray:
    is_mosaic = original.startswith("bayer_") and not target  # itself, as a grey picture
    picture = jpeg.decode(data, None if is_mosaic else least)
    if is_mosaic:
        mosaic = np.ascontiguousarray(picture[:, :, :1])
        return images.from_pixels(mosaic, original.replace("16", "8"), encoding, depth)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if target.startswith("rgb") else picture


def _encoding(pixels: np.ndarray, kind: str, original: str, target: str) -> str:
    """How decoded values, in OpenCV's order, are to be read."""
    channels, bits = pixels.shape[2], 8 * pixels.itemsize
    untouched = original.startswith("bayer_") or original in images.METRES or (kind == "tiff" and original)
    layout = images.ENCODINGS.get(original)
    if untouched and not target and layout and (layout.kind, layout.channels) == (pixels.dtype.str[1:], channels):
        return original
    if bits == 32:
        return "32FC1"
    colours = "rgb" if target.startswith("rgb") else "bgr"
    return {1: "mono", 3: colours, 4: f"{colours}a"}[channels] + str(bits)


# --- PNG, WebP, TIFF ---------------------------------------------------------------------------------------------

def _unchanged(kind: str, data: np.ndarray) -> np.ndarray:
    """The values in a file, [h, w, 1, 3 or 4] of uint8, uint16 or (one channel) float32, colours in OpenCV's order."""
    try:
        size = SIZES[kind](memoryview(data))
    except (struct.error, IndexError, KeyError):
        raise QtxError(f"{kind} image of {len(data)} bytes is cut off or damaged in its header") from None
    jpeg.check_pixels(f"{kind} image", *size)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise QtxError(f"{kind} image of {len(data)} bytes is damaged: OpenCV does not decode it")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype not in (np.uint8, np.uint16) and (pixels.dtype, pixels.shape[2]) != (np.float32, 1):
        raise QtxError(f"{kind} image holds {pixels.shape[2]} channels of {pixels.dtype}, expected 8 or 16 bits")
    return pixels


def _png_size(data: memoryview) -> tuple[int, int]:
    """Height and width, once the checksum of every chunk is right up to the last."""
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if zlib.crc32(data[position + 4 : position + 8 + length]) != checksum:
            raise QtxError(f"png image of {len(data)} bytes is damaged: wrong checksum of the chunk at byte {position}")
        position += 12 + length
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _webp_size(data: memoryview) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < length + 8:
        raise QtxError(f"webp image is cut off: it has {len(data)} bytes of {length + 8}")
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _tiff_size(data: memoryview) -> tuple[int, int]:
    order = "<" if data[0] == ord("I") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    found = {}
    for entry in range(count):
        tag, kind = struct.unpack_from(order + "HH", data, start + 2 + 12 * entry)
        (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, start + 10 + 12 * entry)
    return found[257], found[256]


SIZES = {"png": _png_size, "webp": _webp_size, "tiff": _tiff_size}


# --- compressedDepth ---------------------------------------------------------------------------------------------

def _compressed_depth(form: str, data: np.ndarray, encoding: str | None, depth: Any) -> np.ndarray:
    """Depth images of compressed_depth_image_transport: a header, then a PNG of uint16."""
    original = form.split(";")[0].strip()
    if original not in images.METRES or "rvl" in form.lower():
        raise QtxError(
            f"compressed image format is {form!r}, expected jpeg, png, or compressedDepth png of 16UC1 or 32FC1"
        )
    if len(data) < DEPTH_HEADER.size:
        raise QtxError(f"compressed depth image of {len(data)} bytes is cut off within its header")
    _, a, b = DEPTH_HEADER.unpack_from(data)
    body = np.ascontiguousarray(data[DEPTH_HEADER.size :])
    if _kind(form, body) != "png":
        raise QtxError(f"compressed image of format {form!r} holds no png")
    pixels = _unchanged("png", body)
    if original == "32FC1":
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = np.where(pixels > 0, a / (pixels.astype(np.float32) - b), np.nan).astype(np.float32)
    return images.from_pixels(pixels[:, :, :1], original, encoding, depth)
