"""metadata.yaml of a rosbag2 directory, as Humble and all later distributions read it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

VERSION = 8  # the newest that Humble reads; later distributions read it too


@dataclass(frozen=True)
class Topic:
    """One topic of a bag."""

    name: str
    type: str
    definition: str  # the type as ros2msg text, with what it depends on
    type_hash: str  # RIHS01_…
    qos: str  # what its publishers offer, as YAML


@dataclass(frozen=True)
class File:
    """One file of a bag. Times are receive times [ns]."""

    name: str
    first_ns: int
    last_ns: int
    messages: int

    def entry(self) -> dict:
        return {
            "path": self.name,
            "starting_time": {"nanoseconds_since_epoch": self.first_ns},
            "duration": {"nanoseconds": self.last_ns - self.first_ns},
            "message_count": self.messages,
        }


def describe(topics: Iterable[Topic], counts: Mapping[str, int], files: Sequence[File]) -> dict:
    """What metadata.yaml says of a bag of these files, below its first key; `counts`: messages of each topic."""
    filled = [file for file in files if file.messages] or files
    first, last = min(file.first_ns for file in filled), max(file.last_ns for file in filled)
    return {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": last - first},
        "starting_time": {"nanoseconds_since_epoch": first},
        "message_count": sum(file.messages for file in files),
        "topics_with_message_count": [_topic(topic, counts.get(topic.name, 0)) for topic in topics],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [file.entry() for file in files],
        "custom_data": {},
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
    }


def _topic(topic: Topic, count: int) -> dict:
    return {
        "topic_metadata": {
            "name": topic.name,
            "type": topic.type,
            "serialization_format": "cdr",
            "offered_qos_profiles": topic.qos,
            "type_description_hash": topic.type_hash,
        },
        "message_count": count,
    }


class _Plain(yaml.SafeDumper):
    """Writes equal parts out in full: yaml-cpp and rosbag2 do not expect anchors."""

    def ignore_aliases(self, data) -> bool:
        return True


def as_yaml(data) -> str:
    """YAML in the order given, without anchors."""
    return yaml.dump(data, Dumper=_Plain, sort_keys=False)
