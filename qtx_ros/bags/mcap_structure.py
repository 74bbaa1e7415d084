"""The structure of a sound MCAP file, walked once; refused where any two things it says of itself do not agree.

The walk costs a few bytes per chunk. What is inside the chunks is compared when they are read.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field

from mcap import records
from mcap.opcode import Opcode

from qtx_ros.bags.chunks import Chunk, inner_records, read_message
from qtx_ros.bags.parts import MOST_NS
from qtx_ros.bags.records import FOOTER_BYTES, HEADER_BYTES, MAGIC, MESSAGE_BYTES, Damage, Record, parse
from qtx_ros.bags.scan import Scan

INDEX_HEAD = struct.Struct("<HI")  # channel and bytes of entries of a message index
INDEX_ENTRY = struct.Struct("<QQ")  # log time, offset in the chunk
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_STEP = 1 << 20  # bytes of the summary that are read at once


@dataclass
class Walked:
    """A chunk and the message indexes that follow it."""

    record: Record
    head: Chunk
    indexes: dict[int, Record] = field(default_factory=dict)  # channel → message index
    counts: Counter[int] = field(default_factory=Counter)  # channel → messages, as the indexes say


class Structure:
    """What a walk along a file found. `walk` it first; on Damage, `at` is where the file stops making sense."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self.at = 0
        self.chunks: list[Walked] = []
        self.loose: list[tuple[int, int, Record]] = []  # messages outside chunks: log time, channel, place
        self.schemas: dict[int, records.Schema] = {}
        self.channels: dict[int, records.Channel] = {}
        self.distro = ""
        self._listed: dict[int, records.ChunkIndex] = {}  # chunk offset → entry of the summary
        self._statistics: tuple[int, records.Statistics] | None = None
        self._data_end: tuple[int, int] = (0, 0)  # where the data section ends, and its checksum (0: none)

    def walk(self) -> None:
        """Go along the records, then compare what they say; Damage where something is wrong."""
        self._walk()
        self._agree()

    def _walk(self) -> None:
        if self._scan.read(0, len(MAGIC)) != MAGIC:
            raise Damage("the file does not begin as an MCAP file")
        self.at, opcode = len(MAGIC), 0
        while opcode != Opcode.FOOTER:
            record = self._scan.record(self.at)
            opcode = record.opcode
            self._take(record)
            self.at = record.end
        if self._scan.read(self.at, len(MAGIC)) != MAGIC or self.at + len(MAGIC) != self._scan.size:
            raise Damage("the file does not end after its footer")

    def _take(self, record: Record) -> None:
        if record.opcode == Opcode.CHUNK:
            self.chunks.append(Walked(record, self._scan.chunk(record)))
        elif record.opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = _MESSAGE.unpack(self._scan.read(record.start, MESSAGE_BYTES))
            self.loose.append((log_ns, channel, record))
        elif record.opcode == Opcode.MESSAGE_INDEX:
            self._take_index(record)
        elif record.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            self.declare(self._scan.parse(record))
        elif record.opcode == Opcode.CHUNK_INDEX:
            entry = self._scan.parse(record)
            if self._listed.setdefault(entry.chunk_start_offset, entry) is not entry:
                raise Damage(f"the chunk at byte {entry.chunk_start_offset} is listed twice")
        elif record.opcode == Opcode.STATISTICS:
            if self._statistics:
                raise Damage("a second statistics record")
            self._statistics = (record.offset, self._scan.parse(record))
        elif record.opcode == Opcode.DATA_END:
            self._data_end = (record.offset, self._scan.parse(record).data_section_crc)
        elif record.opcode == Opcode.METADATA:
            self.distro = self.distro or str(self._scan.parse(record).metadata.get("ROS_DISTRO", ""))
        elif record.opcode == Opcode.FOOTER:
            self._check_summary(record, self._scan.parse(record))

    def _take_index(self, record: Record) -> None:
        if not self.chunks:
            raise Damage("a message index before the first chunk")
        chunk = self.chunks[-1]
        number, size = INDEX_HEAD.unpack(self._scan.read(record.start, INDEX_HEAD.size))
        if number in chunk.indexes:
            raise Damage(f"a second index of channel {number} for the chunk at byte {chunk.record.offset}")
        chunk.indexes[number] = record
        if size:
            chunk.counts[number] = size // INDEX_ENTRY.size

    def declare(self, record: records.Schema | records.Channel) -> None:
        """Keep a schema or channel; Damage if the same number meant something else before."""
        known = self.schemas if isinstance(record, records.Schema) else self.channels
        if known.setdefault(record.id, record) != record:
            raise Damage(f"{type(record).__name__.lower()} {record.id} was declared before as something else")

    def _check_summary(self, record: Record, footer: records.Footer) -> None:
        """Compare the summary with its checksum, where it has one."""
        if not footer.summary_start:
            return
        if not len(MAGIC) < footer.summary_start <= record.offset:
            raise Damage(f"the footer says that the summary begins at byte {footer.summary_start}")
        crc = footer.summary_crc
        if crc and crc != self._crc(footer.summary_start, record.offset + FOOTER_BYTES - 4):
            raise Damage("the checksum of the summary does not match")

    def _crc(self, at: int, end: int) -> int:
        crc = 0
        while at < end:
            piece = self._scan.read(at, min(_STEP, end - at))
            crc, at = zlib.crc32(piece, crc), at + len(piece)
        return crc

    # --- does it agree with itself ---

    def _agree(self) -> None:
        """Damage if chunks, their indexes, the summary and the statistics do not say the same."""
        checked = any(chunk.head.crc for chunk in self.chunks)
        for chunk in self.chunks:
            self.at = chunk.record.offset
            head = chunk.head
            if checked and not head.crc and head.size:
                raise Damage("the chunk has no checksum, the others have")
            if not head.start_ns <= head.end_ns <= MOST_NS:
                raise Damage(f"the chunk says it holds the times {head.start_ns} to {head.end_ns} ns")
            if self._listed:
                self._agree_chunk(chunk, self._listed.get(self.at))
        missing = sorted(self._listed.keys() - {chunk.record.offset for chunk in self.chunks})
        if missing:
            self.at = missing[0]
            raise Damage("the summary lists a chunk here and there is none")
        end, crc = self._data_end
        if crc and not checked and crc != self._crc(0, end):
            self.at = end
            raise Damage("the checksum of all data before it does not match")
        counted = self._indexed() or self._statistics is not None
        if not counted or not self.channels or not self.counts().keys() <= self.channels.keys():
            self._look_inside()
            if lost := self.counts().keys() - self.channels.keys():
                raise Damage(f"messages of channel {min(lost)}, which was never declared")
        for number, channel in self.channels.items():
            if channel.schema_id and channel.schema_id not in self.schemas:
                raise Damage(f"channel {number} ({channel.topic!r}) has schema {channel.schema_id}, which is missing")
        if self._statistics:
            self._agree_statistics(*self._statistics)

    def _agree_chunk(self, chunk: Walked, entry: records.ChunkIndex | None) -> None:
        if entry is None:
            raise Damage("the chunk is not listed in the summary")
        head = chunk.head
        said = (entry.message_start_time, entry.message_end_time, entry.chunk_length, entry.compression)
        said += (entry.compressed_size, entry.uncompressed_size)
        has = (head.start_ns, head.end_ns, chunk.record.length + HEADER_BYTES, head.compression)
        if said != (*has, head.data_size, head.size):
            raise Damage("the chunk is another one than the summary lists here")
        places = {number: record.offset for number, record in chunk.indexes.items()}
        if entry.message_index_offsets and entry.message_index_offsets != places:
            raise Damage("the message indexes of the chunk are not where the summary says")

    def _agree_statistics(self, where: int, statistics: records.Statistics) -> None:
        self.at = where
        counts = {number: count for number, count in statistics.channel_message_counts.items() if count}
        total, mine = statistics.message_count, self.counts()
        if statistics.chunk_count != len(self.chunks):
            raise Damage(f"the summary counts {statistics.chunk_count} chunks, the file has {len(self.chunks)}")
        if total != sum(counts.values()) or (self._indexed() and mine != counts):
            raise Damage(f"the summary counts {total} messages, the file has {sum(mine.values())}, or on other topics")

    def _indexed(self) -> bool:
        """Whether message indexes say how many messages each chunk has."""
        return all(chunk.indexes or chunk.counts or not chunk.head.size for chunk in self.chunks)

    def counts(self) -> Counter[int]:
        """Messages of each channel, as far as indexes or statistics say."""
        total: Counter[int] = Counter()
        if not self._indexed():
            statistics = self._statistics
            return Counter(statistics[1].channel_message_counts) if statistics else total
        for chunk in self.chunks:
            total += chunk.counts
        return total + Counter(channel for _, channel, _ in self.loose)

    def _look_inside(self) -> None:
        """Find the channels and counts of a file whose summary does not repeat them."""
        for chunk in self.chunks:
            self.at = chunk.record.offset
            data, counts = self.data(chunk), Counter()
            for opcode, start, end in inner_records(data):
                if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    self.declare(parse(opcode, data[start:end]))
                elif opcode == Opcode.MESSAGE:
                    counts[read_message(data, start, end, 0).channel] += 1
            if not chunk.indexes:
                chunk.counts = counts

    def data(self, chunk: Walked) -> bytes:
        """The bytes of a chunk, decompressed and compared with their checksum; Damage if they cannot be used."""
        content = self._scan.content(chunk.record)
        if content.problem:
            raise Damage(f"the chunk cannot be used, {content.problem}")
        return content.data
