"""What one damaged MCAP file still gives: its sound messages into the recovered bag, and a list of what is lost."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mcap import records
from mcap.opcode import Opcode

from qtx_ros.bags import sources
from qtx_ros.bags.chunks import Content, Message, entries
from qtx_ros.bags.descriptions import Descriptions
from qtx_ros.bags.records import HEADER_BYTES, Damage, Record
from qtx_ros.bags.recovered import Loss
from qtx_ros.bags.scan import Scan
from qtx_ros.bags.target import Target

ZSTD = b"\x28\xb5\x2f\xfd"  # how a message begins that rosbag2 compressed by itself; CDR begins otherwise
MESSAGE_LIMIT = 256 << 20  # no message unpacks to more [bytes]
LAST_NS = 1 << 63  # times of ROS 2 are smaller
NUMBERED = "qtx_ros"  # files of our recorder: the messages of a topic are numbered one by one


@dataclass
class Tally:
    """What became of a file's messages, beyond what the target counts."""

    losses: list[Loss] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)  # by topic, as far as anything tells
    totals: Counter[str] | None = None  # by topic, lost ones included, if the file has its statistics
    notes: list[str] = field(default_factory=list)
    custom: dict[str, str] = field(default_factory=dict)
    distro: str = ""


class Rescue:
    """Copies one file; `run` does it all. Memory: one chunk, and what a file's index takes."""

    def __init__(self, scan: Scan, target: Target, types: Mapping[str, str], keep_damaged: bool = False) -> None:
        self._scan, self._target, self._keep_damaged = scan, target, keep_damaged
        self._descriptions = Descriptions(types)
        self._keys: dict[int, tuple[str, str]] = {}  # channel → topic of the target
        self._numbers: dict[int, int] = {}  # channel → last sequence number
        self._gaps: Counter[str] = Counter()  # topic → messages missing between sequence numbers
        self._library = ""
        self._seen = 0  # problems of the scan
        self._open: list[int] = []  # losses that the next message kept ends
        self._hurt: int | None = None  # the loss whose message indexes may follow
        self._in_chunk: Counter[int] = Counter()  # messages kept of the present chunk
        self._last_ns: int | None = None  # the latest message kept
        self._data_ended = False  # no messages follow
        self._checksums = True  # every chunk has one
        self.tally = Tally()

    def run(self, progress: Callable[[int], None] = lambda at: None) -> Tally:
        """Copy everything; `progress` hears the position in the file. OSError when the disk refuses."""
        self._begin()
        for record in self._scan.records():
            if not record.cut:
                self._note_problems()
            try:
                self._take(record)
            except Damage as damage:
                self._lose(record.offset, record.length + HEADER_BYTES, str(damage))
            self._note_problems()
            progress(min(record.end, self._scan.size))
        self._note_problems()
        for number in self._descriptions.sure():  # topics without messages
            self._key(number)
        self._target.end()
        self.tally.lost |= self._gaps
        self._add_notes()
        return self.tally

    def _begin(self) -> None:
        """Look at the summary and the first records, and start the target's file in their way."""
        for record in self._scan.summary():
            if record.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._descriptions.learn(self._scan.parse(record))
        header, compression = records.Header(profile="", library=""), ""
        for record in itertools.islice(self._scan.records(), 100):
            if record.opcode == Opcode.HEADER:
                header = self._scan.parse(record)
            elif record.opcode == Opcode.CHUNK:
                compression = self._scan.chunk(record).compression
                break
        self._library = header.library
        profile = header.profile or ("ros2" if self._describes_ros() else "")
        self._target.begin(compression, profile, "qtx_ros recover")

    def _describes_ros(self) -> bool:
        """Whether the first topics that the file describes are of ROS 2."""
        peek = Descriptions({})
        for entry in self._scan.messages():
            if isinstance(entry, Message):
                break
            peek.learn(entry)
        topics = [d.topic(number) for d in (peek, self._descriptions) for number in d.sure()]
        return all(topic is None or topic.is_ros for topic in topics)

    # --- record by record ---

    def _take(self, record: Record) -> None:
        if record.opcode == Opcode.CHUNK:
            self._chunk(record)
        elif record.opcode == Opcode.MESSAGE:
            self._keep(self._scan.message(record))
        elif record.opcode == Opcode.MESSAGE_INDEX:
            if self._hurt is not None:
                self._count_index(self._scan.parse(record))
        elif record.opcode == Opcode.DATA_END:
            self._data_ended = True
        elif record.opcode < 0x80:
            self._take_small(self._scan.parse(record))

    def _take_small(self, entry: records.McapRecord) -> None:
        if isinstance(entry, (records.Schema, records.Channel)):
            self._descriptions.learn(entry)
        elif isinstance(entry, records.Attachment):
            self._target.attach(entry)
        elif isinstance(entry, records.Metadata):
            self._metadata(entry)
        elif isinstance(entry, records.Statistics):
            self._statistics(entry)

    def _metadata(self, entry: records.Metadata) -> None:
        if entry.name != "rosbag2":
            self._target.note(entry.name, entry.metadata)
            return
        said = sources.understand(entry.metadata.get("serialized_metadata", ""))
        self.tally.custom |= said.custom
        self.tally.distro = said.distro or self.tally.distro

    def _statistics(self, entry: records.Statistics) -> None:
        counts = entry.channel_message_counts
        topics = {number: self._descriptions.topic(number) for number in counts}
        if sum(counts.values()) == entry.message_count < 1 << 40 and all(topics.values()):
            self.tally.totals = Counter()
            for number, count in counts.items():
                self.tally.totals[topics[number].name] += count

    def _chunk(self, record: Record) -> None:
        self._hurt = None
        self._in_chunk.clear()
        content = self._scan.content(record)
        self._checksums &= bool(content.chunk.crc)
        if content.problem and not record.cut:
            self._lose(record.offset, record.length + HEADER_BYTES, f"a chunk cannot be used: {content.problem}")
        try:
            self._copy(content, trusted=not content.problem or record.cut)
        except Damage as damage:
            if not content.problem:
                self._lose(record.offset, record.length + HEADER_BYTES, str(damage))
        if record.cut and (unsure := sum(self._in_chunk.values())):
            self.tally.notes.append(
                f"{self._scan.path.name}: {unsure} messages come from the chunk it ends in, whose checksum is not there"
            )

    def _copy(self, content: Content, trusted: bool) -> None:
        """What is in a chunk; of one that is not trusted only the descriptions, unless damaged messages are wanted."""
        for entry in entries(content):
            if not isinstance(entry, Message):
                self._descriptions.learn(entry, trusted)
            elif trusted or self._keep_damaged:
                self._keep(entry)
                self._in_chunk[entry.channel] += 1

    # --- messages ---

    def _key(self, number: int) -> tuple[str, str] | None:
        """The target's topic of a channel; None if nothing says what it is."""
        if number not in self._keys:
            topic = self._descriptions.topic(number)
            if topic is None:
                return None
            self._keys[number] = self._target.declare(topic)
        return self._keys[number]

    def _keep(self, message: Message) -> None:
        key = self._key(message.channel)
        if key is None:
            self._drop(message, f"nothing says what channel {message.channel} is")
        elif max(message.log_ns, message.publish_ns) >= LAST_NS:
            self._drop(message, f"a message of {key[0]} has an impossible time")
        elif (data := unpacked(message.data, self._target.topics[key].encoding)) is None:
            self._drop(message, f"a message of {key[0]} does not decompress")
        else:
            self._target.write(key, message.log_ns, data, message.publish_ns, message.sequence)
            self._count_sequence(message, key[0])
            self._end_losses(message.log_ns)

    def _count_sequence(self, message: Message, topic: str) -> None:
        before = self._numbers.get(message.channel)
        self._numbers[message.channel] = message.sequence
        if before is not None and self._library == NUMBERED:
            self._gaps[topic] += max(0, message.sequence - before - 1)

    def _end_losses(self, log_ns: int) -> None:
        for index in self._open:
            self.tally.losses[index] = replace(self.tally.losses[index], end_ns=log_ns)
        self._open.clear()
        self._last_ns = log_ns if self._last_ns is None else max(self._last_ns, log_ns)

    # --- losses ---

    def _note_problems(self) -> None:
        for problem in self._scan.problems[self._seen :]:
            self._lose(problem.offset, problem.bytes, problem.reason)
        self._seen = len(self._scan.problems)

    def _lose(self, offset: int, size: int, reason: str) -> None:
        messages = 0 if self._data_ended else None
        self.tally.losses.append(Loss(self._scan.path.name, offset, size, reason, self._last_ns, messages=messages))
        self._hurt = len(self.tally.losses) - 1
        self._open.append(self._hurt)

    def _drop(self, message: Message, reason: str) -> None:
        """A message that is there and is no use; many of a kind in a row are one loss."""
        losses = self.tally.losses
        if not losses or losses[-1].reason != reason:
            losses.append(Loss(self._scan.path.name, message.offset, 0, reason, self._last_ns, messages=0))
            self._open.append(len(losses) - 1)
        losses[-1] = replace(
            losses[-1], bytes=losses[-1].bytes + len(message.data), messages=(losses[-1].messages or 0) + 1
        )
        if topic := self._descriptions.topic(message.channel):
            self.tally.lost[topic.name] += 1

    def _count_index(self, index: records.MessageIndex) -> None:
        """Messages of a damaged chunk, by the index that follows it."""
        gone = max(0, len(index.records) - self._in_chunk.pop(index.channel_id, 0))
        loss = self.tally.losses[self._hurt]
        self.tally.losses[self._hurt] = replace(loss, messages=(loss.messages or 0) + gone)
        if topic := self._descriptions.topic(index.channel_id):
            self.tally.lost[topic.name] += gone

    def _add_notes(self) -> None:
        name = self._scan.path.name
        if self._descriptions.doubtful:
            self.tally.notes.append(
                f"{name}: only a damaged chunk describes {', '.join(sorted(self._descriptions.doubtful))}"
            )
        if self._last_ns is not None and not (self._checksums and self._scan.chunked):
            self.tally.notes.append(f"{name} has no checksums: a flipped byte inside a message cannot be seen")


def unpacked(data: memoryview, encoding: str) -> bytes | memoryview | None:
    """A message as its publisher sent it; None if it was compressed and does not decompress."""
    if data[:4] != ZSTD or encoding != "cdr":
        return data
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            plain = reader.read(MESSAGE_LIMIT + 1)
    except zstandard.ZstdError:
        return None
    return plain if len(plain) <= MESSAGE_LIMIT else None
