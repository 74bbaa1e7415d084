"""The bag that a recovery writes: topics in one form in every file, what was written remembered for reading it back."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer

from qtx_ros.bags.metadata import File, as_yaml, describe

CHUNK_BYTES = 1 << 20
COMPRESSION = {"": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}
ROS_SCHEMAS = ("ros2msg", "ros2idl", "omgidl", "")  # what tools of ROS 2 read


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: what a reader has to know of it."""

    name: str
    type: str
    encoding: str = "cdr"  # of its messages
    definition: bytes = b""
    definition_encoding: str = ""  # ros2msg, ros2idl, …; empty: the bag has no definition
    metadata: Mapping[str, str] = field(default_factory=dict)  # of the MCAP channel

    @property
    def qos(self) -> str:
        """What its publishers offered, as YAML."""
        return self.metadata.get("offered_qos_profiles", "")

    @property
    def type_hash(self) -> str:
        """RIHS01_… of its type; empty: unknown."""
        return self.metadata.get("topic_type_hash", "")

    @property
    def is_ros(self) -> bool:
        """Whether tools of ROS 2 can read it."""
        return self.encoding == "cdr" and self.definition_encoding in ROS_SCHEMAS and bool(self.type)


class Digest:
    """Messages in any order, in a few bytes: their number and a sum of hashes."""

    def __init__(self) -> None:
        self.count = self._sum = 0

    def add(self, log_ns: int, data: bytes | memoryview) -> None:
        """One message: its receive time [ns] and its bytes."""
        hashed = blake2b(struct.pack("<Q", log_ns), digest_size=16)
        hashed.update(data)
        self._sum = (self._sum + int.from_bytes(hashed.digest(), "little")) % (1 << 128)
        self.count += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.count, self._sum) == (other.count, other._sum)

    __hash__ = None  # it changes


class Target:
    """A bag directory being written, one MCAP file for each of the files recovered. OSError when the disk refuses.

    A topic keeps the description it had first: readers of ROS 2 expect the same one in every file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self._name = folder, name
        self.files: list[File] = []
        self.topics: dict[tuple[str, str], Topic] = {}  # by name and type
        self.digests: dict[str, Digest] = {}  # by name
        self._writer: Writer | None = None

    @property
    def is_ros(self) -> bool:
        """Whether tools of ROS 2 can read all of it."""
        return all(topic.is_ros for topic in self.topics.values())

    @property
    def counts(self) -> dict[str, int]:
        """Messages of each topic so far."""
        return {name: digest.count for name, digest in self.digests.items()}

    def begin(self, compression: str = "", profile: str = "ros2", library: str = "qtx_ros") -> None:
        """Start the next file."""
        path = self.folder / f"{self._name}_{len(self.files)}.mcap"
        self._file = open(path, "wb")
        self._writer = Writer(
            self._file, chunk_size=CHUNK_BYTES, compression=COMPRESSION.get(compression, COMPRESSION[""])
        )
        self._writer.start(profile=profile, library=library)
        self._schemas: dict[tuple, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._first = self._last = 0

    def declare(self, topic: Topic) -> tuple[str, str]:
        """Make a topic known, in the present file too; returns its key."""
        key = (topic.name, topic.type)
        if key not in self._channels:
            known = self.topics.setdefault(key, topic)
            self.digests.setdefault(topic.name, Digest())
            self._channels[key] = self._register(known)
            self._counts[key] = 0
        return key

    def write(
        self, key: tuple[str, str], log_ns: int, data: bytes | memoryview, publish_ns: int, sequence: int
    ) -> None:
        """Append a message of a declared topic."""
        self._writer.add_message(self._channels[key], log_ns, data, publish_ns, sequence)
        self.digests[key[0]].add(log_ns, data)
        self._first = log_ns if not any(self._counts.values()) else min(self._first, log_ns)
        self._last = max(self._last, log_ns)
        self._counts[key] += 1

    def attach(self, attachment: Any) -> None:
        """Keep an attachment, an `mcap` record."""
        self._writer.add_attachment(
            attachment.create_time, attachment.log_time, attachment.name, attachment.media_type, attachment.data
        )

    def note(self, name: str, metadata: Mapping[str, str]) -> None:
        """Keep a metadata record."""
        self._writer.add_metadata(name, dict(metadata))

    def end(self) -> None:
        """Complete the present file and force it to disk."""
        facts = File(Path(self._file.name).name, self._first, self._last, sum(self._counts.values()))
        topics = [self.topics[key] for key in self._counts]
        counts = {key[0]: count for key, count in self._counts.items()}
        self._writer.add_metadata("rosbag2", {"serialized_metadata": as_yaml(describe(topics, counts, [facts]))})
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.files.append(facts)

    def close(self, custom: Mapping[str, str], distro: str) -> None:
        """Write metadata.yaml."""
        information = describe(self.topics.values(), self.counts, self.files)
        information |= {"custom_data": dict(custom), "ros_distro": distro or information["ros_distro"]}
        for entry, topic in zip(information["topics_with_message_count"], self.topics.values(), strict=True):
            entry["topic_metadata"]["serialization_format"] = topic.encoding
        with open(self.folder / "metadata.yaml", "w", encoding="utf-8") as file:
            file.write(as_yaml({"rosbag2_bagfile_information": information}))
            file.flush()
            os.fsync(file.fileno())

    def _register(self, topic: Topic) -> int:
        schema = (topic.type, topic.definition_encoding, topic.definition)
        if not topic.type:
            self._schemas[schema] = 0  # none
        elif schema not in self._schemas:
            self._schemas[schema] = self._writer.register_schema(*schema)
        return self._writer.register_channel(topic.name, topic.encoding, self._schemas[schema], dict(topic.metadata))
