"""Reading back a bag that was just written, with two libraries that did not write it, and comparing every message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader

from qtx_ros.bags.target import Digest
from qtx_ros.errors import QtxError


def verify(
    bag: Path, digests: Mapping[str, Digest], ros: bool = True, progress: Callable[[], None] = lambda: None
) -> None:
    """QtxError unless every file of the bag directory reads back as what `digests` says was written, by topic.

    `progress` is called at every message.
    """
    try:
        _compare(_with_mcap(sorted(bag.glob("*.mcap")), progress), digests, "mcap")
        if ros:
            _compare(_with_rosbags(bag, progress), digests, "rosbags")
    except QtxError:
        raise
    except Exception as error:  # whatever a reader stumbles over says that the bag is not good
        raise QtxError(f"{bag} cannot be read back: {' '.join(str(error).split()) or type(error).__name__}") from None


def _with_mcap(files: Iterable[Path], progress: Callable[[], None]) -> dict[str, Digest]:
    """In the order of the file, one chunk at a time; checksums are compared."""
    found: dict[str, Digest] = defaultdict(Digest)
    for file in files:
        topics: dict[int, str] = {}
        with open(file, "rb") as stream:
            for record in StreamReader(stream, validate_crcs=True).records:
                if isinstance(record, Channel):
                    topics[record.id] = record.topic
                elif isinstance(record, Message):
                    found[topics[record.channel_id]].add(record.log_time, record.data)
                    progress()
    return found


def _with_rosbags(bag: Path, progress: Callable[[], None]) -> dict[str, Digest]:
    from rosbags.rosbag2 import Reader

    found: dict[str, Digest] = defaultdict(Digest)
    with Reader(bag) as reader:
        for connection, log_ns, data in reader.messages():
            found[connection.topic].add(log_ns, data)
            progress()
        counts = {topic: info.msgcount for topic, info in reader.topics.items() if info.msgcount}
    if counts != {topic: digest.count for topic, digest in found.items()}:
        raise QtxError(
            f"{bag} says it has {sum(counts.values())} messages, it has {sum(d.count for d in found.values())}"
        )
    return found


def _compare(found: Mapping[str, Digest], wanted: Mapping[str, Digest], library: str) -> None:
    for topic in sorted({*found, *wanted}):
        have, want = found.get(topic, Digest()), wanted.get(topic, Digest())
        if have != want:
            raise QtxError(
                f"read back with {library}, {topic} has {have.count} messages that are not the {want.count} written"
            )
