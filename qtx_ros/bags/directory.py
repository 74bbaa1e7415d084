"""What a bag directory says it holds: metadata.yaml as every distribution from Dashing to Lyrical writes it.

Versions 1 to 9 differ in what they leave out, and in QoS, which nobody needs here. So nothing but what reading needs is
looked at, and a later version is read as far as it still says that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from qtx_ros import config
from qtx_ros.errors import QtxError

METADATA_FILE = "metadata.yaml"
STORAGES = (".mcap", ".db3")
COMPRESSED = ".zstd"
_MODES = ("", "none", "file", "message")


@dataclass(frozen=True)
class Listing:
    """The files of a bag, and what metadata.yaml promises of them. None: it says nothing, or there is none."""

    files: tuple[Path, ...]
    messages: int | None = None
    per_topic: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)  # topic → message type
    per_file: dict[str, int] = field(default_factory=dict)  # file name → messages
    compressed_messages: bool | None = None
    distro: str = ""


def list_bag(path: Path) -> Listing:
    """The files of a bag directory or of a bag that is one file; QtxError if there is no bag."""
    if not path.exists():
        raise QtxError(f"there is no bag {path}")
    if path.is_file():
        if not is_storage(path):
            raise QtxError(f"{path} is not a bag: expected a file that ends with {' or '.join(STORAGES)}")
        return Listing((path,))
    if (path / METADATA_FILE).exists():
        return _listed(path / METADATA_FILE)
    files = tuple(p for p in sorted(path.iterdir()) if p.is_file() and is_storage(p))
    if len({_bare(file).suffix for file in files}) != 1:
        kinds = " or ".join(STORAGES)
        raise QtxError(f"{path} is not a bag: no {METADATA_FILE} and {len(files)} files of type {kinds}")
    return Listing(files)


def is_storage(path: Path) -> bool:
    """Whether a file's name is one that rosbag2 gives to recorded data, compressed or not."""
    return _bare(path).suffix in STORAGES


def _bare(path: Path) -> Path:
    return path.with_suffix("") if path.suffix == COMPRESSED else path


def _listed(path: Path) -> Listing:
    info = _get(config.read(path), "rosbag2_bagfile_information", dict, path)
    version = _get(info, "version", int, path)
    if version < 1:
        raise QtxError(f"{path}: version is {version}, expected at least 1")
    topics = [_topic(entry, path) for entry in _get(info, "topics_with_message_count", list, path)]
    per_topic: Counter[str] = Counter()
    for name, _, count in topics:
        per_topic[name] += count
    return Listing(
        files=_files(path, info),
        messages=_count(info, path),
        per_topic=dict(per_topic),
        types={name: type for name, type, _ in topics},
        per_file=_per_file(info, path),
        compressed_messages=_mode(info, path) == "message",
        distro=_get(info, "ros_distro", str, path, ""),
    )


def _topic(entry: Any, path: Path) -> tuple[str, str, int]:
    entry = _typed(entry, dict, path, "topics_with_message_count")
    topic = _get(entry, "topic_metadata", dict, path)
    return _get(topic, "name", str, path), _get(topic, "type", str, path), _count(entry, path)


def _files(path: Path, info: dict) -> tuple[Path, ...]:
    """The files named, by their names alone: early versions wrote paths of the recording machine."""
    named = [_typed(name, str, path, "relative_file_paths") for name in _get(info, "relative_file_paths", list, path)]
    files = [_existing(path.parent, PurePosixPath(name).name, path) for name in named]
    double = sorted({file.name for file in files if files.count(file) > 1})
    if double:
        raise QtxError(f"{path}: relative_file_paths names {double[0]!r} twice")
    storage = _get(info, "storage_identifier", str, path)
    suffix = {"mcap": ".mcap", "sqlite3": ".db3"}.get(storage)
    if suffix is None:
        raise QtxError(f"{path}: storage_identifier is {storage!r}, expected mcap or sqlite3")
    for file in files:
        if _bare(file).suffix != suffix:
            raise QtxError(f"{path}: storage_identifier is {storage!r} and a file is called {file.name!r}")
    return tuple(files)


def _existing(folder: Path, name: str, path: Path) -> Path:
    """A named file; some versions of rosbag2 wrote names before compression, some those after it."""
    for found in (folder / name, folder / f"{name}{COMPRESSED}", folder / name.removesuffix(COMPRESSED)):
        if name not in ("", ".", "..") and "\0" not in name and found.is_file():
            return found
    raise QtxError(f"{path}: the file {name!r} of the bag is missing")


def _per_file(info: dict, path: Path) -> dict[str, int]:
    entries = [_typed(entry, dict, path, "files") for entry in _get(info, "files", list, path, [])]
    names = [PurePosixPath(_get(entry, "path", str, path)).name for entry in entries]
    return {name: _count(entry, path) for name, entry in zip(names, entries, strict=True)}


def _mode(info: dict, path: Path) -> str:
    mode = _get(info, "compression_mode", str, path, "").lower()
    form = _get(info, "compression_format", str, path, "")
    if mode not in _MODES:
        raise QtxError(f"{path}: compression_mode is {mode!r}, expected file, message or none")
    if mode in ("file", "message") and form != "zstd":
        raise QtxError(f"{path}: compression_format is {form!r}, expected zstd")
    return mode


def _count(entry: dict, path: Path) -> int:
    count = _get(entry, "message_count", int, path)
    if not 0 <= count < 1 << 63:
        raise QtxError(f"{path}: message_count is {config.shown(count)}, expected a number of messages")
    return count


def _get(entry: dict, key: str, type: type, path: Path, default: Any = None) -> Any:
    """The value of a key, of the given type; where there is a default, the key may be missing or empty."""
    value = entry.get(key)
    if value is None and default is not None:
        return default
    if value is None:
        raise QtxError(f"{path}: key {key!r} is missing")
    return _typed(value, type, path, key)


def _typed(value: Any, type: type, path: Path, key: str) -> Any:
    if not isinstance(value, type) or isinstance(value, bool):
        raise QtxError(f"{path}: {key} holds {config.shown(value)}, expected {type.__name__}")
    return value
