"""Reading one MCAP file: its chunks are read one at a time, when their messages are due.

Before a message is given, its chunk is compared with its checksum and with all that was said of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from mcap import records
from mcap.opcode import Opcode

from qtx_ros.bags.chunks import Message, inner_records, read_message
from qtx_ros.bags.mcap_structure import INDEX_ENTRY, INDEX_HEAD, Structure, Walked
from qtx_ros.bags.parts import MOST_NS, Contents, Part, Raw, Topic, cut_off, damaged
from qtx_ros.bags.records import HEADER_BYTES, MAGIC, Damage, Record, parse
from qtx_ros.bags.scan import Scan
from qtx_ros.errors import QtxError


class McapStorage:
    """An open MCAP file that was walked once; `contents` says what is in it."""

    def __init__(self, path: Path, shown: Path | None = None) -> None:
        """QtxError if the file cannot be read, or does not agree with itself; it names it `shown`."""
        self.path = shown or path
        self._scan = Scan(path)
        self._found = Structure(self._scan)
        try:
            self._found.walk()
        except Damage as damage:
            error = self._sentence(self._found.at, str(damage))
            self.close()
            raise error from None
        self._topics = {number: self._topic(channel) for number, channel in self._found.channels.items()}

    def close(self) -> None:
        """Close the file."""
        self._scan.close()

    def contents(self) -> Contents:
        """Topics, parts and counts of the file."""
        counts: Counter[str] = Counter()
        for number, count in self._found.counts().items():
            counts[self._topics[number].name] += count
        parts = [self._part(chunk) for chunk in self._found.chunks]
        if self._found.loose:
            parts.append(self._loose_part())
        return Contents(self.path, tuple(self._topics.values()), tuple(parts), dict(counts), self._found.distro)

    def _sentence(self, at: int, reason: str) -> QtxError:
        begins = self._scan.read(0, len(MAGIC)) == MAGIC
        ends = self._scan.size > len(MAGIC) and self._scan.read(self._scan.size - len(MAGIC), len(MAGIC)) == MAGIC
        if begins and not ends or not self._scan.size:
            return cut_off(self.path, f"byte {at}", reason)
        return damaged(self.path, f"byte {at}", reason)

    def _topic(self, channel: records.Channel) -> Topic:
        schema = self._found.schemas.get(channel.schema_id)
        if schema is None:
            return Topic(channel.topic, "", channel.message_encoding)
        text = schema.data.decode("utf-8", "replace")
        return Topic(channel.topic, schema.name, channel.message_encoding, schema.encoding, text)

    # --- chunks ---

    def _part(self, chunk: Walked) -> Part:
        head, where = chunk.head, (self.path, f"byte {chunk.record.offset}")
        names = self._names(chunk) or None  # None: no index says which
        size = head.size + head.data_size if head.compression else head.size
        return Part(head.start_ns, head.end_ns, size, names, lambda topics: self._read(chunk, topics), where)

    def _names(self, chunk: Walked) -> set[str]:
        return {self._topics[number].name for number in chunk.counts if number in self._topics}

    def _read(self, chunk: Walked, topics: Collection[str]) -> Iterator[Raw]:
        """The messages of a chunk on some topics, sorted by time."""
        try:
            messages = self._messages(chunk)
        except Damage as damage:
            names = self._names(chunk)
            concerned = ", ".join(sorted(names & set(topics) or names))
            raise damaged(self.path, f"byte {chunk.record.offset}", str(damage), concerned) from None
        raws = [self._raw(message) for message in messages if self._topics[message.channel].name in topics]
        return iter(sorted(raws, key=lambda raw: raw.receive_ns))

    def _messages(self, chunk: Walked) -> list[Message]:
        """All messages of a chunk; Damage if it is not what was said of it."""
        data, head = self._found.data(chunk), chunk.head
        messages, places = [], []
        for opcode, start, end in inner_records(data):
            if opcode == Opcode.MESSAGE:
                at = head.offset if head.compression else head.data_offset + start - HEADER_BYTES
                messages.append(read_message(data, start, end, at))
                places.append(start - HEADER_BYTES)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._found.declare(parse(opcode, data[start:end]))
        self._compare(chunk, messages, places)
        return messages

    def _compare(self, chunk: Walked, messages: list[Message], places: list[int]) -> None:
        times = [message.log_ns for message in messages]
        if times and (min(times), max(times)) != (chunk.head.start_ns, chunk.head.end_ns):
            raise Damage(f"the chunk holds the times {min(times)} to {max(times)} ns, not those it says")
        counts = Counter(message.channel for message in messages)
        if chunk.indexes and counts != chunk.counts:
            raise Damage("the chunk holds other messages than its index says")
        if not counts.keys() <= self._topics.keys():
            raise Damage("the chunk holds a message of a channel that was never declared")
        if chunk.indexes and not chunk.head.crc:
            self._compare_index(chunk, messages, places)

    def _compare_index(self, chunk: Walked, messages: list[Message], places: list[int]) -> None:
        """Without a checksum, the message index is what protects times and lengths."""
        have = {(m.channel, m.log_ns, place) for m, place in zip(messages, places, strict=True)}
        said = set()
        for number, record in chunk.indexes.items():
            body = self._scan.read(record.start + INDEX_HEAD.size, chunk.counts[number] * INDEX_ENTRY.size)
            said |= {(number, time, place) for time, place in INDEX_ENTRY.iter_unpack(body)}
        if have != said:
            raise Damage("the chunk holds other messages than its index says")

    def _raw(self, message: Message) -> Raw:
        return Raw(message.log_ns, self._topics[message.channel], message.data, self.path, f"byte {message.offset}")

    # --- a file without chunks ---

    def _loose_part(self) -> Part:
        """The messages outside chunks: their times and places are kept, their data is read when due."""
        found = sorted(self._found.loose, key=lambda entry: entry[0])
        where = (self.path, f"byte {found[0][2].offset}")
        return Part(found[0][0], found[-1][0], 0, None, lambda topics: self._read_loose(found, topics), where)

    def _read_loose(self, found: list[tuple[int, int, Record]], topics: Collection[str]) -> Iterator[Raw]:
        for log_ns, channel, record in found:
            if channel not in self._topics or log_ns > MOST_NS:
                reason = f"a message of channel {channel} at {log_ns} ns, which the file does not have"
                raise damaged(self.path, f"byte {record.offset}", reason)
            if self._topics[channel].name in topics:
                yield self._raw(self._scan.message(record))
