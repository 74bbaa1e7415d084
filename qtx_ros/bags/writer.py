"""Writing bags: one rosbag2 directory with one or more MCAP files, as `ros2 bag info` and `ros2 bag play` read it.

The directory has a hidden name until it is complete. Chunks are small and flushed in time, so that a crash costs about
a second; what was flushed before stays readable for MCAP tools.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from qtx_ros.bags import lock
from qtx_ros.bags.mcap_file import McapFile
from qtx_ros.bags.metadata import File, Topic, as_yaml, describe
from qtx_ros.errors import QtxError

_INFINITE = {"sec": 9223372036, "nsec": 854775807}


def qos_profile(depth: int = 10, reliable: bool = True, latched: bool = False) -> dict:
    """One offered QoS profile as rosbag2 stores it; `latched` means transient local."""
    return {
        "history": 1,  # keep last
        "depth": depth,
        "reliability": 1 if reliable else 2,
        "durability": 1 if latched else 2,
        "deadline": dict(_INFINITE),
        "lifespan": dict(_INFINITE),
        "liveliness": 1,  # automatic
        "liveliness_lease_duration": dict(_INFINITE),
        "avoid_ros_namespace_conventions": False,
    }


class BagWriter:
    """Writes `folder/name`. Topics may be added at any time; `close` completes the bag, `abort` deletes it.

    A new file begins when the present one has `split_bytes` or messages of `split_ns`; 0: never. `sync` may be called
    from another thread.
    """

    def __init__(self, folder: str | Path, name: str, split_bytes: int = 0, split_ns: int = 0) -> None:
        self.path = Path(folder) / name
        self.hidden = Path(folder) / f".{name}"
        if self.path.exists() or self.hidden.exists():
            raise QtxError(f"{self.path} exists already, an episode is never overwritten")
        self._split_bytes, self._split_ns = split_bytes, split_ns
        self._syncing = threading.Lock()
        self._topics: dict[str, Topic] = {}
        self._finished: list[File] = []  # the files before the present one
        try:
            self.hidden.mkdir(parents=True)
            self._lock = lock.hold(self.hidden)
            self._file = self._next_file()
        except OSError as error:
            raise QtxError(f"cannot write a bag in {folder}: {error.strerror}") from None
        self._flushed = time.monotonic()
        self.counts: Counter[str] = Counter()  # messages of each topic
        self.bytes = 0

    def add_topic(self, topic: str, type: str, definition: str, type_hash: str, qos: Sequence[Mapping]) -> None:
        """Declare a topic: its message type, the type's ros2msg text, its RIHS01 hash, the publishers' QoS."""
        if topic not in self._topics:
            self._topics[topic] = Topic(topic, type, definition, type_hash, as_yaml(list(qos)).strip())
            self._declare(self._topics[topic])

    def write(self, topic: str, receive_ns: int, data: bytes, publish_ns: int | None = None) -> None:
        """Append one serialised message of a declared topic."""
        if self._is_full(receive_ns):
            self._split()
        published = receive_ns if publish_ns is None else publish_ns
        self._file.write(self._channels[topic], receive_ns, data, published, self.counts[topic])
        self.counts[topic] += 1
        self.bytes += len(data)

    def flush(self, every: float = 0.0) -> None:
        """Hand everything written to the operating system, at most once in `every` seconds."""
        now = time.monotonic()
        if now - self._flushed >= every:
            self._file.flush()
            self._flushed = now

    def sync(self) -> None:
        """Wait until the disk has what was flushed. Nothing else waits for it."""
        with self._syncing:
            self._file.sync()

    def attach(self, name: str, text: str) -> None:
        """Put a small file beside the recording."""
        _write_file(self.hidden / name, text)

    def close(self) -> Path:
        """Complete the bag, force it to disk and give it its name; returns its path."""
        self._finish_file()
        metadata = describe(self._topics.values(), self.counts, self._finished)
        _write_file(self.hidden / "metadata.yaml", as_yaml({"rosbag2_bagfile_information": metadata}))
        sync_folder(self.hidden)
        os.replace(self.hidden, self.path)
        sync_folder(self.path.parent)
        (self.path / lock.LOCK_FILE).unlink(missing_ok=True)  # not before: a hidden folder without it looks abandoned
        self._lock.close()
        return self.path

    def release(self) -> None:
        """Leave the unfinished bag under its hidden name, for others to repair."""
        with self._syncing, suppress(OSError):  # a disk that refuses has what it has
            self._file.close()
        self._lock.close()

    def abort(self) -> None:
        """Delete everything written."""
        self.release()
        shutil.rmtree(self.hidden, ignore_errors=True)

    # --- files ---

    def _next_file(self) -> McapFile:
        file = McapFile(self.hidden / f"{self.path.name}_{len(self._finished)}.mcap")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        return file

    def _declare(self, topic: Topic) -> None:
        """Declare a topic in the present file."""
        if topic.type not in self._schemas:
            self._schemas[topic.type] = self._file.add_schema(topic.type, topic.definition)
        metadata = {"offered_qos_profiles": topic.qos, "topic_type_hash": topic.type_hash}
        self._channels[topic.name] = self._file.add_channel(topic.name, self._schemas[topic.type], metadata)

    def _is_full(self, receive_ns: int) -> bool:
        """Whether a message received now belongs into the next file."""
        if not self._file.counts:
            return False
        large = self._split_bytes and self._file.size >= self._split_bytes
        return bool(large or self._split_ns and receive_ns - self._file.first_ns >= self._split_ns)

    def _split(self) -> None:
        with self._syncing:
            self._finish_file()
            self._file = self._next_file()
        for topic in self._topics.values():
            self._declare(topic)

    def _finish_file(self) -> None:
        """Complete the present file and remember what metadata.yaml says of it."""
        file, counts = self._file, {topic: self._file.counts[number] for topic, number in self._channels.items()}
        facts = File(file.path.name, file.first_ns, file.last_ns, sum(counts.values()))
        alone = describe(self._topics.values(), counts, [facts])  # tells who reads only this file the QoS's version
        file.finish("rosbag2", {"serialized_metadata": as_yaml(alone)})
        self._finished.append(facts)


def _write_file(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
