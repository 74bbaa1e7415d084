"""Writing bags: one rosbag2 directory with one MCAP file, as `ros2 bag info` and `ros2 bag play` read it.

The directory has a hidden name until it is complete. Chunks are small and flushed in time, so that a crash costs about
a second; what was flushed before stays readable for MCAP tools.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from mcap.writer import CompressionType, Writer

from qtx_ros.errors import QtxError

METADATA_VERSION = 8  # the newest that Humble reads; later distributions read it too
CHUNK_BYTES = 1 << 20

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
    """Writes `folder/name`. Topics may be added at any time; `close` completes the bag, `abort` deletes it."""

    def __init__(self, folder: str | Path, name: str) -> None:
        self.path = Path(folder) / name
        self._hidden = Path(folder) / f".{name}"
        if self.path.exists() or self._hidden.exists():
            raise QtxError(f"{self.path} exists already, an episode is never overwritten")
        try:
            self._hidden.mkdir(parents=True)
            self._file = open(self._hidden / f"{name}_0.mcap", "wb")
        except OSError as error:
            raise QtxError(f"cannot write a bag in {folder}: {error.strerror}") from None
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start(profile="ros2", library="qtx_ros")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._topics: dict[str, dict] = {}
        self._flushed = time.monotonic()
        self._first, self._last = 0, 0  # receive time of the first and the last message [ns]
        self.counts: Counter[str] = Counter()  # messages of each topic
        self.bytes = 0

    def add_topic(self, topic: str, type: str, definition: str, type_hash: str, qos: Sequence[Mapping]) -> None:
        """Declare a topic: its message type, the type's ros2msg text, its RIHS01 hash, the publishers' QoS."""
        if topic in self._channels:
            return
        if type not in self._schemas:
            self._schemas[type] = self._writer.register_schema(type, "ros2msg", definition.encode())
        profiles = _yaml(list(qos)).strip()
        metadata = {"offered_qos_profiles": profiles, "topic_type_hash": type_hash}
        self._channels[topic] = self._writer.register_channel(topic, "cdr", self._schemas[type], metadata)
        self._topics[topic] = {
            "name": topic,
            "type": type,
            "serialization_format": "cdr",
            "offered_qos_profiles": profiles,
            "type_description_hash": type_hash,
        }

    def write(self, topic: str, receive_ns: int, data: bytes, publish_ns: int | None = None) -> None:
        """Append one serialised message of a declared topic."""
        published = receive_ns if publish_ns is None else publish_ns
        self._writer.add_message(self._channels[topic], receive_ns, data, published, self.counts[topic])
        self._first = receive_ns if not self.counts else min(self._first, receive_ns)
        self._last = max(self._last, receive_ns)
        self.counts[topic] += 1
        self.bytes += len(data)

    def flush(self, every: float = 0.0) -> None:
        """Hand everything written to the operating system, at most once in `every` seconds."""
        now = time.monotonic()
        if now - self._flushed >= every:
            self._writer.flush()
            self._flushed = now

    def close(self) -> Path:
        """Complete the bag, force it to disk and give it its name; returns its path."""
        metadata = self._metadata()
        self._writer.add_metadata("rosbag2", {"serialized_metadata": _yaml(metadata)})  # tells readers the QoS version
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with open(self._hidden / "metadata.yaml", "w", encoding="utf-8") as file:
            file.write(_yaml({"rosbag2_bagfile_information": metadata}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._hidden, self.path)
        return self.path

    def abort(self) -> None:
        """Delete everything written."""
        self._file.close()
        shutil.rmtree(self._hidden, ignore_errors=True)

    def _metadata(self) -> dict:
        start = {"nanoseconds_since_epoch": self._first}
        duration = {"nanoseconds": self._last - self._first}
        total = sum(self.counts.values())
        name = f"{self.path.name}_0.mcap"
        topics = [{"topic_metadata": t, "message_count": self.counts[t["name"]]} for t in self._topics.values()]
        return {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            "duration": duration,
            "starting_time": start,
            "message_count": total,
            "topics_with_message_count": topics,
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [name],
            "files": [{"path": name, "starting_time": dict(start), "duration": dict(duration), "message_count": total}],
            "custom_data": {},
            "ros_distro": os.environ.get("ROS_DISTRO", ""),
        }


class _Plain(yaml.SafeDumper):
    """Writes equal parts out in full: yaml-cpp and rosbag2 do not expect anchors."""

    def ignore_aliases(self, data) -> bool:
        return True


def _yaml(data) -> str:
    return yaml.dump(data, Dumper=_Plain, sort_keys=False)
