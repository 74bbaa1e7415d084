"""Inside a chunk of an MCAP file: header, bytes (decompressed within a bound, checksum compared), records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mcap import records
from mcap.opcode import Opcode

from qtx_ros.bags.records import HEAD, HEADER_BYTES, MESSAGE_BYTES, Damage, parse

CHUNK_LIMIT = 256 << 20  # a chunk that says it is larger is refused [bytes]
COMPRESSIONS = ("", "lz4", "zstd")

_CHUNK = struct.Struct("<QQQII")  # first and last log time, uncompressed size, CRC, length of the compression's name
_SIZE = struct.Struct("<Q")
_MESSAGE = struct.Struct("<HIQQ")
LONGEST_NAME = 16  # of a compression


class Message(NamedTuple):
    """A message record. Of a compressed chunk's message `offset` is the chunk's."""

    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    data: memoryview
    offset: int  # in the file


Entry = Message | records.Schema | records.Channel


@dataclass(frozen=True)
class Chunk:
    """The header of a chunk record; `offset` is where the record begins, data stands at `data_offset`."""

    offset: int
    start_ns: int
    end_ns: int
    size: int  # uncompressed [bytes]
    crc: int  # 0: none was written
    compression: str
    data_offset: int
    data_size: int  # as stored [bytes]


@dataclass(frozen=True)
class Content:
    """The decompressed bytes of a chunk. `problem` says why they are not to be trusted, empty if they are."""

    chunk: Chunk
    data: bytes
    problem: str = ""

    @property
    def base(self) -> int | None:
        """File offset of the first byte; None: compressed."""
        return None if self.chunk.compression else self.chunk.data_offset


def read_chunk(offset: int, head: bytes) -> Chunk:
    """The header in the first bytes of a chunk record's content (at least 56, or all there are); else Damage."""
    try:
        start, end, size, crc, length = _CHUNK.unpack_from(head)
        if length > LONGEST_NAME:
            raise Damage(f"a chunk's compression has a name of {length} bytes")
        name = head[_CHUNK.size : _CHUNK.size + length].decode()
        (stored,) = _SIZE.unpack_from(head, _CHUNK.size + length)
    except struct.error:
        raise Damage("the file ends inside a chunk's header") from None
    except UnicodeDecodeError:
        raise Damage("a chunk's compression has no readable name") from None
    where = offset + HEADER_BYTES + _CHUNK.size + length + _SIZE.size
    return Chunk(offset, start, end, size, crc, name, where, stored)


def unpack(chunk: Chunk, stored: bytes, limit: int = CHUNK_LIMIT) -> Content:
    """Decompress what was stored of a chunk, never into more than `limit` bytes and never more than it declares.

    What cannot be decompressed or has another checksum comes with its `problem`, as far as it goes.
    """
    if chunk.compression not in COMPRESSIONS:
        return Content(chunk, b"", f"unknown compression {chunk.compression!r}")
    if chunk.size > limit:
        return Content(chunk, b"", f"it declares {chunk.size} bytes, at most {limit} are believed")
    data, problem = _decompress(chunk.compression, stored, chunk.size)
    if len(stored) < chunk.data_size:
        problem = f"only {len(stored)} of its {chunk.data_size} bytes are there"
    elif not problem and len(data) != chunk.size:
        more = "more" if len(data) > chunk.size else len(data)
        problem = f"it declares {chunk.size} bytes and holds {more}"
    elif not problem and chunk.crc and zlib.crc32(data) != chunk.crc:
        problem = "its checksum does not match"
    return Content(chunk, data[: chunk.size], problem)


def _decompress(compression: str, stored: bytes, size: int) -> tuple[bytes, str]:
    """At most `size` + 1 bytes, and what went wrong."""
    if not compression:
        return stored, ""
    pieces: list[bytes] = []
    try:
        for piece in (_zstd if compression == "zstd" else _lz4)(stored, size + 1):
            pieces.append(piece)
    except (ValueError, RuntimeError, EOFError) as error:
        return b"".join(pieces), f"it does not decompress: {' '.join(str(error).split())}"
    return b"".join(pieces), ""


def _zstd(stored: bytes, most: int) -> Iterator[bytes]:
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stored)
    try:
        while most > 0 and (piece := reader.read(min(most, 1 << 20))):
            yield piece
            most -= len(piece)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


def _lz4(stored: bytes, most: int) -> Iterator[bytes]:
    import lz4.frame

    decompressor = lz4.frame.LZ4FrameDecompressor()
    piece = decompressor.decompress(stored, max_length=min(most, 1 << 20))
    while True:
        yield piece
        most -= len(piece)
        if most <= 0 or decompressor.eof or (not piece and decompressor.needs_input):
            return
        piece = decompressor.decompress(b"", max_length=min(most, 1 << 20))


class Inner(NamedTuple):
    """A record inside a chunk: its content is `data[start:end]`."""

    opcode: int
    start: int
    end: int


def inner_records(data: bytes) -> Iterator[Inner]:
    """The records of a chunk's bytes; Damage, with the position, where they stop making sense."""
    at, size = 0, len(data)
    while at < size:
        if size - at < HEADER_BYTES:
            raise Damage(f"{size - at} bytes after the last record of the chunk")
        opcode, length = HEAD.unpack_from(data, at)
        start = at + HEADER_BYTES
        if length > size - start:
            raise Damage(f"record {opcode} at byte {at} of the chunk has {length} bytes, the chunk {size - start} more")
        if opcode == 0 or Opcode.CHANNEL < opcode < 0x80 and opcode != Opcode.MESSAGE:
            raise Damage(f"record {opcode} at byte {at} of the chunk does not belong into a chunk")
        yield Inner(opcode, start, start + length)
        at = start + length


def read_message(data: bytes | memoryview, start: int, end: int, offset: int) -> Message:
    """The message record whose content is `data[start:end]`; Damage if it is too short for one."""
    if end - start < MESSAGE_BYTES:
        raise Damage(f"a message record of {end - start} bytes, it needs at least {MESSAGE_BYTES}")
    return Message(*_MESSAGE.unpack_from(data, start), memoryview(data)[start + MESSAGE_BYTES : end], offset)


def entries(content: Content) -> Iterator[Entry]:
    """The messages, schemas and channels of a chunk's bytes; Damage where they stop making sense."""
    base, offset = content.base, content.chunk.offset
    for opcode, start, end in inner_records(content.data):
        if opcode == Opcode.MESSAGE:
            at = offset if base is None else base + start - HEADER_BYTES
            yield read_message(content.data, start, end, at)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            yield parse(opcode, content.data[start:end])
