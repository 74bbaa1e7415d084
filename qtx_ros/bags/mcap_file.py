"""Writing one MCAP file. Message bytes go to the file as they are, without being copied into a chunk first.

Chunks are uncompressed, carry a CRC and a message index. What a long recording has to remember is one packed index
entry per chunk, about 100 bytes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, DataEnd, Footer, Header, Metadata, MetadataIndex, Schema, Statistics, SummaryOffset

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 1 << 20  # a chunk is closed by the message that makes it larger
BY_REFERENCE = 1 << 14  # [B] messages from this size on are not copied

_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_CHUNK = struct.Struct("<BQQQQIIQ")  # opcode, length, first, last, size, CRC, length of "" (no compression), size
_INDEX = struct.Struct("<BQHI")  # opcode, length, channel, bytes of entries
_ENTRY = struct.Struct("<QQ")  # log time, offset in the chunk
_CHUNK_INDEX = struct.Struct("<BQQQQQI")  # opcode, length, first, last, place of the chunk, bytes of the map
_CHUNK_INDEX_ENTRY = struct.Struct("<HQ")  # channel, offset of its message index
_CHUNK_INDEX_END = struct.Struct("<QIQQ")  # bytes of all message indexes, length of "", size, size
_RECORD_HEAD = 9  # opcode and length


class McapFile:
    """One MCAP file being written. The operating system has everything up to the last `flush`."""

    def __init__(self, path: str | Path) -> None:
        """OSError if the file exists or cannot be made."""
        self.path = Path(path)
        self._file = open(self.path, "xb", buffering=0)
        self.bytes = 0  # in the file so far
        self.counts: Counter[int] = Counter()  # messages of each channel, those of the open chunk included
        self.first_ns, self.last_ns = 0, 0  # log times of the earliest and the latest message
        self._schemas: list[bytes] = []
        self._channels: list[bytes] = []
        self._chunk_indexes, self._chunk_count = bytearray(), 0
        self._new_chunk()
        self._put(MAGIC, _record(Header(profile="ros2", library="qtx_ros")))

    @property
    def size(self) -> int:
        """Bytes of the file with the open chunk."""
        return self.bytes + self._size

    def add_schema(self, name: str, definition: str) -> int:
        """Declare a message type by its ros2msg text; returns its number."""
        number = len(self._schemas) + 1
        self._schemas.append(_record(Schema(id=number, name=name, encoding="ros2msg", data=definition.encode())))
        self._append(self._schemas[-1])
        return number

    def add_channel(self, topic: str, schema: int, metadata: Mapping[str, str]) -> int:
        """Declare a topic; returns its number."""
        number = len(self._channels) + 1
        fields = {"topic": topic, "message_encoding": "cdr", "metadata": dict(metadata), "schema_id": schema}
        self._channels.append(_record(Channel(id=number, **fields)))
        self._append(self._channels[-1])
        return number

    def write(self, channel: int, log_ns: int, data: bytes, publish_ns: int, sequence: int) -> None:
        """Append one message. ValueError for a time before 1970."""
        if log_ns < 0 or publish_ns < 0:
            raise ValueError(f"a message of channel {channel} has the time {min(log_ns, publish_ns)} ns")
        head = _MESSAGE.pack(Opcode.MESSAGE, 22 + len(data), channel, sequence & 0xFFFFFFFF, log_ns, publish_ns)
        self._first = min(self._first, log_ns) if self._index else log_ns
        self._last = max(self._last, log_ns)
        self._index.setdefault(channel, bytearray()).extend(_ENTRY.pack(log_ns, self._size))
        self.first_ns = log_ns if not self.counts else min(self.first_ns, log_ns)
        self.last_ns = max(self.last_ns, log_ns)
        self.counts[channel] += 1
        self._append(head)
        self._append(data)
        if self._size > CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Close the open chunk and hand it to the operating system."""
        if not self._index:
            return
        self._close_small()
        crc = 0
        for piece in self._pieces:
            crc = zlib.crc32(piece, crc)
        start, size = self.bytes, self._size
        head = _CHUNK.pack(Opcode.CHUNK, _CHUNK.size - _RECORD_HEAD + size, self._first, self._last, size, crc, 0, size)
        indexes = [
            _INDEX.pack(Opcode.MESSAGE_INDEX, 6 + len(entries), channel, len(entries)) + entries
            for channel, entries in self._index.items()
        ]
        self._put(head, *self._pieces, *indexes)
        self._remember_chunk(start, size, dict(zip(self._index, map(len, indexes), strict=True)))
        self._new_chunk()

    def sync(self) -> None:
        """Wait until the disk has what the operating system has, and let go of the memory that held it."""
        descriptor = self._file.fileno()
        end = self.bytes
        os.fdatasync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, end, os.POSIX_FADV_DONTNEED)

    def finish(self, name: str, metadata: Mapping[str, str]) -> None:
        """Write a metadata record and the summary, and force all of it to disk."""
        self.flush()
        start = self.bytes
        record = _record(Metadata(name=name, metadata=dict(metadata)))
        self._put(record, _record(DataEnd(data_section_crc=0)))
        summary = self._summary(_record(MetadataIndex(offset=start, length=len(record), name=name)))
        self._put(summary, MAGIC)
        self.sync()
        self._file.close()

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()

    # --- chunks ---

    def _new_chunk(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self._small = bytearray()  # the last piece, still growing
        self._size = 0
        self._index: dict[int, bytearray] = {}  # channel → packed entries
        self._first, self._last = 0, 0

    def _append(self, data: bytes) -> None:
        """Add bytes to the open chunk."""
        self._size += len(data)
        if len(data) < BY_REFERENCE:
            self._small += data
        else:
            self._close_small()
            self._pieces.append(data)

    def _close_small(self) -> None:
        if self._small:
            self._pieces.append(self._small)
            self._small = bytearray()

    def _remember_chunk(self, start: int, size: int, indexes: dict[int, int]) -> None:
        """Keep the index entry of a chunk that begins at `start`; `indexes`: channel → bytes of its message index."""
        length = _CHUNK.size + size
        offset, entries = start + length, b""
        for channel, index_length in indexes.items():
            entries += _CHUNK_INDEX_ENTRY.pack(channel, offset)
            offset += index_length
        body = _CHUNK_INDEX.size - _RECORD_HEAD + len(entries) + _CHUNK_INDEX_END.size
        self._chunk_indexes += _CHUNK_INDEX.pack(
            Opcode.CHUNK_INDEX, body, self._first, self._last, start, length, len(entries)
        )
        self._chunk_indexes += entries + _CHUNK_INDEX_END.pack(sum(indexes.values()), 0, size, size)
        self._chunk_count += 1

    # --- the file ---

    def _put(self, *pieces: bytes | bytearray) -> None:
        """Write all of the pieces; OSError when the disk refuses."""
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
            self.bytes += len(piece)

    def _summary(self, metadata_index: bytes) -> bytes:
        """The summary section, its offsets and the footer."""
        groups = [
            (Opcode.SCHEMA, b"".join(self._schemas)),
            (Opcode.CHANNEL, b"".join(self._channels)),
            (Opcode.STATISTICS, _record(self._statistics())),
            (Opcode.CHUNK_INDEX, bytes(self._chunk_indexes)),
            (Opcode.METADATA_INDEX, metadata_index),
        ]
        start, data, offsets = self.bytes, b"", b""
        for opcode, records in groups:
            if records:
                place = {"group_start": start + len(data), "group_length": len(records)}
                offsets += _record(SummaryOffset(group_opcode=opcode, **place))
                data += records
        offset_start = start + len(data)
        head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        crc = zlib.crc32(data + offsets + head)
        return data + offsets + _record(Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=crc))

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self.counts),
            chunk_count=self._chunk_count,
            message_count=sum(self.counts.values()),
            message_end_time=self.last_ns,
            message_start_time=self.first_ns,
            metadata_count=1,
            schema_count=len(self._schemas),
        )


def _record(record: object) -> bytes:
    """A record of the mcap library as bytes."""
    builder = RecordBuilder()
    record.write(builder)
    return builder.end()
