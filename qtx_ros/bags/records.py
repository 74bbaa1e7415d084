"""What a record of an MCAP file must look like: its kinds, how short and long each can be, and its content.

`mcap` reads the content; what it would believe in silence (a string cut short) is refused here.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from mcap import records
from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.exceptions import McapError
from mcap.opcode import Opcode

MAGIC = b"\x89MCAP0\r\n"
HEAD = struct.Struct("<BQ")  # opcode and length of any record
HEADER_BYTES = HEAD.size
MESSAGE_BYTES = 22  # fixed part of a message record
FOOTER_BYTES = HEADER_BYTES + 20
CHAIN = 3  # so many records in a row that make sense: a damaged file goes on here
SMALL_LIMIT = 64 << 20  # a record that is neither message, chunk nor attachment is not larger than this [bytes]

_CLASSES = {
    Opcode.HEADER: records.Header,
    Opcode.FOOTER: records.Footer,
    Opcode.SCHEMA: records.Schema,
    Opcode.CHANNEL: records.Channel,
    Opcode.MESSAGE_INDEX: records.MessageIndex,
    Opcode.CHUNK_INDEX: records.ChunkIndex,
    Opcode.ATTACHMENT: records.Attachment,
    Opcode.ATTACHMENT_INDEX: records.AttachmentIndex,
    Opcode.STATISTICS: records.Statistics,
    Opcode.METADATA: records.Metadata,
    Opcode.METADATA_INDEX: records.MetadataIndex,
    Opcode.SUMMARY_OFFSET: records.SummaryOffset,
    Opcode.DATA_END: records.DataEnd,
}
# The shortest content of each kind, and the longest where it is fixed or bounded by 65,536 channels [bytes].
_LEAST = {1: 8, 2: 20, 3: 14, 4: 16, 5: MESSAGE_BYTES, 6: 40, 7: 6, 8: 64, 9: 36, 10: 48, 11: 46, 12: 8, 13: 20, 14: 17}
_LEAST |= {Opcode.DATA_END: 4}
_MOST = {Opcode.FOOTER: 20, Opcode.SUMMARY_OFFSET: 17, Opcode.DATA_END: 4}
_MOST |= {Opcode.CHUNK_INDEX: 700_000, Opcode.STATISTICS: 700_000}

# What begins like a record that stands between chunks and never inside one; and like any, for a file without chunks.
BETWEEN = re.compile(
    rb"(?s)(?=\x06.{4}\0{4}.{28}(?:\0{4}|\x03\0{3}lz4|\x04\0{3}zstd)|\x07[\x06\x16\x26\x36\x46\x56\x66\x76\x86\x96\xa6"
    rb"\xb6\xc6\xd6\xe6\xf6].{3}\0{4}|\x02\x14\0{7}|\x0f\x04\0{7}|[\x08\x0a-\x0d].{3}\0{5}|\x09.{4}\0{4})"
)
ANY = re.compile(rb"(?s)(?=[\x02-\x0f].{4}\0{4})")
PATTERN_BYTES = 48  # more than the longest match of these


class Damage(Exception):
    """Something in a file that makes no sense; the text says what."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong in the file, and how many bytes cannot be used for it."""

    offset: int
    reason: str
    bytes: int = 0

    def __str__(self) -> str:
        return f"byte {self.offset}: {self.reason}"


class Record(NamedTuple):
    """A record at the top level: `length` bytes of content after opcode and length. `cut`: the file ends inside it."""

    opcode: int
    offset: int
    length: int
    cut: bool = False

    @property
    def start(self) -> int:
        """Where the content begins."""
        return self.offset + HEADER_BYTES

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + HEADER_BYTES + self.length


def name(opcode: int) -> str:
    """What a record is called."""
    return Opcode(opcode).name.lower().replace("_", " ") if opcode in _LEAST else f"record of kind {opcode}"


def may_begin(window: bytes, start: int, size: int) -> bool:
    """Whether records may follow each other from `start` of a window, by their kinds and lengths; the file ends `size`
    bytes from the window's beginning. It has to be cheap: pictures are full of candidates."""
    for _ in range(CHAIN):
        opcode, length = HEAD.unpack_from(window, start)
        if opcode == Opcode.CHUNK:
            return True
        start += HEADER_BYTES
        if opcode not in _LEAST or not _LEAST[opcode] <= length <= min(size - start, _MOST.get(opcode, size)):
            return False
        start += length
        if start + HEADER_BYTES > len(window):
            return True
    return True


def check_length(record: Record, size: int) -> None:
    """Damage unless the record is of a known kind and fits into a file of `size` bytes."""
    opcode, length = record.opcode, record.length
    if opcode not in _LEAST and opcode < 0x80:
        raise Damage(f"{opcode} is no kind of record")
    if length > size - record.start:
        raise Damage(f"a {name(opcode)} of {length} bytes, the file has {size - record.start} more")
    if not _LEAST.get(opcode, 0) <= length <= _MOST.get(opcode, length):
        raise Damage(f"a {name(opcode)} cannot have {length} bytes")
    if length > SMALL_LIMIT and opcode in _CLASSES and opcode != Opcode.ATTACHMENT:
        raise Damage(f"a {name(opcode)} of {length} bytes, at most {SMALL_LIMIT} are believed")


def parse(opcode: int, body: bytes) -> records.McapRecord:
    """A record (neither message nor chunk) from its content; Damage unless writing it again gives the same bytes."""
    end = None
    if opcode == Opcode.ATTACHMENT:
        end, crc = -4, int.from_bytes(body[-4:], "little")
        if crc and crc != zlib.crc32(body[:-4]):
            raise Damage("the checksum of an attachment does not match")
    try:
        record = _CLASSES[opcode].read(ReadDataStream(io.BytesIO(body)))
        builder = RecordBuilder()
        record.write(builder)
    except (McapError, ValueError, struct.error, KeyError, OverflowError) as error:
        raise Damage(f"a {name(opcode)} cannot be read: {' '.join(str(error).split()) or 'it is too short'}") from None
    if body[:end] != builder.end()[HEADER_BYTES:end]:
        raise Damage(f"a {name(opcode)} is not what it says it is")
    return record
