"""zstd within bounds: whole files (`*.mcap.zstd`, `*.db3.zstd`) and single messages, as `ros2 bag record` has them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from qtx_ros.bags.chunks import CHUNK_LIMIT
from qtx_ros.bags.parts import Raw, damaged
from qtx_ros.errors import QtxError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_STEP = 1 << 20
_WINDOW = 27  # log2 of the largest window that zstd uses without being asked to
_RATIO = 200  # a file that grows by more than this, and beyond `_SMALL`, is a bomb
_SMALL = 256 << 20


class _Broken(Exception):
    """Why something does not decompress."""


def unzip_file(path: Path, folder: Path) -> Path:
    """Decompress a file into a folder, under its name without `.zstd`; QtxError if it is damaged or does not fit."""
    target = folder / path.name.removesuffix(".zstd")
    try:
        room = max(0, shutil.disk_usage(folder).free - (64 << 20))
        most = min(max(_SMALL, _RATIO * path.stat().st_size), room)
        with open(path, "rb") as packed, open(target, "wb") as file:
            try:
                for piece in _pieces(packed.read, most):
                    file.write(piece)
            except _Broken as error:
                raise damaged(path, f"byte {packed.tell()}", f"it does not decompress: {error}") from None
    except OSError as error:
        raise QtxError(f"cannot decompress {path} into {folder}: {error.strerror}") from None
    return target


def unzip_message(raw: Raw) -> Raw:
    """A message that was compressed by itself, decompressed; QtxError if it is damaged or too large."""
    rest = [bytes(raw.data)]
    try:
        data = b"".join(_pieces(lambda _: rest.pop() if rest else b"", CHUNK_LIMIT))
    except _Broken as error:
        raise damaged(raw.file, raw.where, f"the message does not decompress: {error}", raw.topic.name) from None
    return raw._replace(data=memoryview(data))


def _pieces(read: Callable[[int], bytes], most: int) -> Iterator[bytes]:
    """Decompress what `read(size)` gives, frame after frame, into pieces of a bounded size and `most` bytes in all."""
    decompressor = _decompressor()
    data, left = read(_STEP), most
    while data or not decompressor.eof:
        if decompressor.eof:
            decompressor = _decompressor()
        elif not data and decompressor.needs_input:
            raise _Broken("its end is missing")
        try:
            piece = decompressor.decompress(data, _STEP)
        except Exception as error:  # ZstdError, of whichever module it comes from
            raise _Broken(" ".join(str(error).split())) from None
        left -= len(piece)
        if left < 0:
            raise _Broken(f"it unpacks to more than {most} bytes")
        yield piece
        data = decompressor.unused_data if decompressor.eof else b""
        if not data and (decompressor.eof or decompressor.needs_input):
            data = read(_STEP)


def _decompressor():
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW})
