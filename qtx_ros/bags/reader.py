"""Reading bags through a robot's spec: ours, and any of `ros2 bag record` (MCAP, sqlite3, split, compressed).

A message is given only if everything the bag says of it agrees: checksums, indexes, counts, metadata.yaml, its type.
Otherwise there is one sentence, and nothing more is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qtx_ros.bags import marks
from qtx_ros.bags.definitions import decoder, stamped
from qtx_ros.bags.directory import STORAGES, Listing, list_bag
from qtx_ros.bags.labels import current, read_labels
from qtx_ros.bags.late import Late
from qtx_ros.bags.marks import Mark, parse_split
from qtx_ros.bags.mcap_storage import McapStorage
from qtx_ros.bags.parts import Contents, Raw, Topic, damaged, merge
from qtx_ros.bags.sqlite_storage import SqliteStorage
from qtx_ros.bags.unzip import ZSTD_MAGIC, unzip_file, unzip_message
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

__all__ = ["STORAGES", "Bag", "open_bag"]

EVENT_TYPE = "qtx_ros/msg/EpisodeEvent"
SILENCE_NS = 3600 * 1_000_000_000  # of all topics within one episode: longer ones are several episodes, or damage
_SHORT_NS = 1_000_000_000  # silences shorter than this do not add up


class Bag:
    """An open bag. Use `open_bag`."""

    def __init__(self, path: Path, listing: Listing, contents: list[Contents]) -> None:
        self.path, self._listing, self._contents = path, listing, contents
        self._parts = [part for content in contents for part in content.parts]
        self._distro = listing.distro or next((content.distro for content in contents if content.distro), "")
        self.start_ns = min((part.start_ns for part in self._parts), default=0)  # receive time of the first message
        end_ns = max((part.end_ns for part in self._parts), default=0)
        self.seconds = (end_ns - self.start_ns) / 1e9
        self._decoders: dict[Topic, Callable[[Raw], Any]] = {}
        self._stamped: dict[Topic, bool] = {}

    def marks(self, split: str = "", spec: Spec | None = None) -> list[Mark]:
        """The episodes of the bag in order; what people said in `labels.json` counts most.

        `split`: empty or `marks`: those marked inside the bag, none if there are none; `none`: the bag is one;
        `instruction`, `events`, `gap:SECONDS`: as these topics of the spec say.
        """
        found = self._split(*parse_split(split), spec)
        said = read_labels(self.path)
        if said and not found:
            found = [Mark(self.path.name)]
        return [mark.said(current(said, mark.episode)) for mark in found]

    def messages(self, spec: Spec, mark: Mark) -> Iterator[tuple[str, int, Any]]:
        """(topic of the spec, receive time [ns], message) of an episode, in the order of receive times."""
        names = self._topics(spec)
        stop = None if mark.stop_ns is None else mark.stop_ns + 1
        dense = {stream.topic for stream in (*spec.cameras, *spec.states, *spec.commands)}  # read late
        last: dict[str, Late] = {}
        failures: list[QtxError] = []  # of messages that somebody looked into
        for raw in _without_long_silence(self._raw(names, mark.start_ns, stop)):
            topic = names[raw.topic.name]
            if topic in dense and self._is_stamped(raw):
                msg = last[topic] = Late(raw, self._decode, failures)
            else:
                msg = self._decode(raw)
            yield topic, raw.receive_ns, msg
            if failures:
                raise failures[0]
        for msg in last.values():  # what may be looked into after the end
            msg.decoded()

    def check(self) -> int:
        """Read every message of every topic without decoding it; how many there are. QtxError where one is damaged."""
        return sum(1 for _ in self._raw(self._types()))

    # --- messages ---

    def _raw(self, topics: Collection[str], start: int | None = None, stop: int | None = None) -> Iterator[Raw]:
        zipped = self._listing.compressed_messages
        for raw in merge(self._parts, topics, start, stop):
            if zipped or (zipped is None and raw.data[:4] == ZSTD_MAGIC):
                raw = unzip_message(raw)
            yield raw

    def _decode(self, raw: Raw) -> Any:
        decode = self._decoders.get(raw.topic)
        if decode is None:
            with _naming(raw.file):
                decode = self._decoders[raw.topic] = decoder(raw.topic, self._distro)
        return decode(raw)

    def _is_stamped(self, raw: Raw) -> bool:
        if raw.topic not in self._stamped:
            with _naming(raw.file):
                self._stamped[raw.topic] = stamped(raw.topic, self._distro)
        return self._stamped[raw.topic]

    def _types(self) -> dict[str, set[str]]:
        """Topic of the bag → message types it has."""
        types: dict[str, set[str]] = {}
        for content in self._contents:
            for topic in content.topics:
                types.setdefault(topic.name, set()).add(topic.type)
        return types

    def _topics(self, spec: Spec) -> dict[str, str]:
        """Bag topic → spec topic; QtxError if a required topic is missing or of another type."""
        have = self._types()
        names = {}
        for stream in (*spec.cameras, *spec.states, *spec.commands):
            topic = _find(stream.topic, have)
            if topic is None:
                raise QtxError(f"{self.path} has no topic {stream.topic!r}, it has {', '.join(sorted(have)) or 'none'}")
            names[topic] = stream
        for stream in (spec.instruction, spec.events, spec.intervention):
            if (topic := _find(stream.topic, have)) is not None:
                names[topic] = stream
        for topic, stream in names.items():
            self._check_type(topic, have[topic], stream.type, f"robot {spec.name!r} says")
        return {topic: stream.topic for topic, stream in names.items()}

    def _check_type(self, topic: str, have: Collection[str], wanted: str, who: str) -> None:
        if set(have) != {wanted}:
            raise QtxError(f"{self.path}: topic {topic!r} is {' and '.join(sorted(have))}, {who} {wanted}")

    # --- episodes ---

    def _split(self, how: str, seconds: float, spec: Spec | None) -> list[Mark]:
        if how == "marks":
            return self._marked()
        if how == "none":
            return [Mark(self.path.name)]
        if spec is None:
            raise QtxError(f"splitting {self.path} by {how} needs a robot description, name one with --robot")
        if how == "gap":
            required = {stream.topic for stream in (*spec.cameras, *spec.states, *spec.commands)}
            topics = {topic for topic, name in self._topics(spec).items() if name in required}
            return marks.split_by_gap((raw.receive_ns for raw in self._raw(topics)), seconds)
        if how == "instruction":
            said = [(time, str(msg.data)) for time, msg in self._stream(spec.instruction, spec)]
            return marks.split_by_instruction(said)
        ends = ((t, bool(m.success or m.terminal or m.truncated)) for t, m in self._stream(spec.events, spec))
        return marks.split_by_events(ends)

    def _marked(self) -> list[Mark]:
        topics = {topic for topic, types in self._types().items() if EVENT_TYPE in types}
        events, places = [], {}
        for raw in self._raw(topics):
            event = self._decode(raw)
            events.append((raw.receive_ns, event))
            places[event.episode, raw.receive_ns] = f"{raw.file} at {raw.where} on topic {raw.topic.name!r}"
        return [replace(mark, place=places[mark.episode, mark.start_ns]) for mark in marks.read_marks(events)]

    def _stream(self, stream: Any, spec: Spec) -> Iterator[tuple[int, Any]]:
        """Receive times and messages of the topic by which a bag is split."""
        have = self._types()
        topic = _find(stream.topic, have)
        if topic is None:
            fix = "--split none makes it one episode"
            raise QtxError(f"{self.path} has no topic {stream.topic!r} to split it by; {fix}")
        self._check_type(topic, have[topic], stream.type, f"robot {spec.name!r} says")
        return ((raw.receive_ns, self._decode(raw)) for raw in self._raw({topic}))


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Errors inside name the file."""
    try:
        yield
    except QtxError as error:
        raise QtxError(f"cannot read {file}: {error}") from None


@contextmanager
def open_bag(path: str | Path) -> Iterator[Bag]:
    """Open a bag directory or a single .mcap or .db3 file; QtxError with a clear reason if it cannot be read."""
    path = Path(path)
    with ExitStack() as stack:
        try:
            listing = list_bag(path)
            contents = [_open(file, listing, stack) for file in listing.files]
            _compare(path, listing, contents)
        except QtxError as error:
            raise QtxError(f"cannot read the bag {path}: {error}") from None
        yield Bag(path, listing, contents)


def _open(file: Path, listing: Listing, stack: ExitStack) -> Contents:
    """One file of the bag, decompressed into a temporary folder if need be."""
    source = shown = file
    with open(file, "rb") as beginning:
        zipped = beginning.read(len(ZSTD_MAGIC)) == ZSTD_MAGIC
    if zipped or file.suffix not in STORAGES:
        source = unzip_file(file, Path(stack.enter_context(TemporaryDirectory(prefix="qtx-bag-"))))
        shown = file.with_name(f"{file.name} (unpacked)")
    storage = (McapStorage if source.suffix == ".mcap" else SqliteStorage)(source, shown)
    stack.callback(storage.close)
    contents = storage.contents()
    promised = listing.per_file.get(file.name, contents.messages)
    if promised != contents.messages:
        raise damaged(file, "its end", f"metadata.yaml says it has {promised} messages, it has {contents.messages}")
    return contents


def _compare(path: Path, listing: Listing, contents: list[Contents]) -> None:
    """QtxError if the files do not hold what metadata.yaml says."""
    if listing.messages is None:
        return
    counts: Counter[str] = Counter()
    for content in contents:
        counts.update(content.counts)
    types = {topic.name: topic.type for content in contents for topic in content.topics}
    where = path / "metadata.yaml"
    for topic in sorted(counts.keys() | listing.per_topic.keys()):
        said, have = listing.per_topic.get(topic, 0), counts[topic]
        if said != have:
            raise damaged(where, f"topic {topic!r}", f"it counts {said} messages, the files have {have}")
        if have and listing.types[topic] != types[topic]:
            raise damaged(where, f"topic {topic!r}", f"it says {listing.types[topic]}, the files say {types[topic]}")
    if listing.messages != counts.total():
        raise damaged(where, "message_count", f"it counts {listing.messages} messages, the files have {counts.total()}")


def _without_long_silence(messages: Iterator[Raw]) -> Iterator[Raw]:
    """The messages; QtxError when their times say that the robot was silent for longer than any episode can be."""
    last, silent = None, 0
    for raw in messages:
        pause = raw.receive_ns - last if last is not None else 0
        silent += pause if pause > _SHORT_NS else 0
        if silent > SILENCE_NS:
            reason = f"the episode is silent for {silent / 1e9:.0f} s before it; --split gap:60 makes it several"
            raise damaged(raw.file, raw.where, reason, raw.topic.name)
        last = raw.receive_ns
        yield raw


def _find(topic: str, have: Collection[str]) -> str | None:
    """The bag's name of a spec topic: the name itself, or the only one that ends with it, under a namespace."""
    bare = topic.lstrip("/")
    for name in (topic, f"/{bare}"):
        if name in have:
            return name
    ends = [name for name in have if name.endswith(f"/{bare}")]
    return ends[0] if len(ends) == 1 and not topic.startswith("/") else None
