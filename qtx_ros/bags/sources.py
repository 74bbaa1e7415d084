"""What there is to recover: a bag's files, what its metadata.yaml says (which may be anything), what lies beside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from qtx_ros import config
from qtx_ros.bags.labels import labels_path
from qtx_ros.errors import QtxError

STORAGES = (".mcap", ".db3")
COMPRESSED = ".zstd"  # rosbag2 compresses whole files into NAME.mcap.zstd
_NOT_KEPT = re.compile(r"metadata\.yaml|lock|.*-(wal|shm|journal)|\..*")  # beside a recording, and not worth keeping


@dataclass(frozen=True)
class Said:
    """What a metadata.yaml says, as far as it makes sense."""

    files: tuple[str, ...] = ()  # bare names
    types: Mapping[str, str] = field(default_factory=dict)  # topic → message type
    counts: Mapping[str, int] = field(default_factory=dict)  # topic → messages
    custom: Mapping[str, str] = field(default_factory=dict)
    distro: str = ""


@dataclass(frozen=True)
class Source:
    """A bag to recover: its storage files in order, other files kept as they are, what its metadata.yaml says."""

    path: Path
    files: tuple[Path, ...]
    beside: tuple[Path, ...]
    said: Said

    @property
    def missing(self) -> list[str]:
        """Files that metadata.yaml names and that are not there."""
        return [name for name in self.said.files if name not in {file.name for file in self.files}]

    @property
    def bytes(self) -> int:
        """Size of the storage files."""
        return sum(file.stat().st_size for file in self.files)


def find(path: str | Path) -> Source:
    """What there is at a path: a bag directory, or a single storage file; QtxError if that is no bag."""
    path = Path(path)
    if not path.exists():
        raise QtxError(f"there is no bag {path}")
    if path.is_file():
        labels = labels_path(path)
        return Source(path, (path,), (labels,) if labels.exists() else (), Said())
    said = read(path / "metadata.yaml")
    inside = sorted(path.iterdir(), key=_natural)
    files = [file for file in inside if is_storage(file)]
    if not files:
        raise QtxError(f"{path} holds no file of type {' or '.join(STORAGES)}, there is nothing to recover")
    files.sort(key=lambda file: said.files.index(file.name) if file.name in said.files else len(said.files))
    beside = [entry for entry in inside if entry not in files and not _NOT_KEPT.fullmatch(entry.name)]
    return Source(path, tuple(files), tuple(beside), said)


def is_storage(file: Path) -> bool:
    """Whether a file holds messages of a bag, by its name."""
    return file.is_file() and storage(file) in STORAGES and not file.name.startswith(".")


def storage(file: Path) -> str:
    """.mcap or .db3, without what says that the file is compressed."""
    return Path(file.name.removesuffix(COMPRESSED)).suffix


def _natural(path: Path) -> list:
    """Sorts bag_2 before bag_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]


def read(path: str | Path) -> Said:
    """What a metadata.yaml says; nothing at all if it is missing or no sensible YAML."""
    try:
        return understand(config.read_text(path))
    except QtxError:
        return Said()


def understand(text: str) -> Said:
    """What the text of a metadata.yaml says; also without its outermost key, as MCAP files carry it."""
    try:
        data = config.parse_yaml(text, "metadata.yaml")
    except QtxError:
        return Said()
    data = _mapping(_mapping(data).get("rosbag2_bagfile_information", data))
    topics = [_mapping(entry) for entry in _list(data.get("topics_with_message_count"))]
    described = [(_mapping(entry.get("topic_metadata")), entry.get("message_count")) for entry in topics]
    known = [(topic["name"], topic.get("type"), count) for topic, count in described if _text(topic.get("name"))]
    return Said(
        files=tuple(PurePosixPath(name).name for name in _list(data.get("relative_file_paths")) if _text(name)),
        types={name: type for name, type, _ in known if _text(type)},
        counts={name: count for name, _, count in known if type(count) is int and 0 <= count < 1 << 40},
        custom={k: v for k, v in _mapping(data.get("custom_data")).items() if _text(k) and isinstance(v, str)},
        distro=data["ros_distro"] if _text(data.get("ros_distro")) else "",
    )


def _mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) < 1024
