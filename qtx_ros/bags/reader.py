"""Reading bags through a robot's spec: ours, and any of `ros2 bag record` (MCAP, sqlite3, split, compressed)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

from qtx_ros.bags.labels import current, read_labels
from qtx_ros.bags.marks import Mark, read_marks
from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.spec import Spec

EVENT_TYPE = "qtx_ros/msg/EpisodeEvent"
STORAGES = (".mcap", ".db3")


class Bag:
    """An open bag. Use `open_bag`."""

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path, self._reader = path, reader
        self.seconds = reader.duration / 1e9 if reader.message_count else 0.0
        self.start_ns = reader.start_time if reader.message_count else 0  # receive time of the first message

    def marks(self) -> list[Mark]:
        """The episodes marked inside the bag, in order; later labels win, those in `labels.json` most of all."""
        connections = [c for c in self._reader.connections if c.msgtype == EVENT_TYPE]
        events = self._messages(connections) if connections else ()
        marks = read_marks((receive_ns, event) for _, receive_ns, event in events)
        said = read_labels(self.path)
        if said and not marks:
            marks = [Mark(self.path.name)]
        return [mark.said(current(said, mark.episode)) for mark in marks]

    def messages(self, spec: Spec, mark: Mark) -> Iterator[tuple[str, int, Any]]:
        """(topic of the spec, receive time [ns], message) of an episode, in the order of receive times."""
        names = self._topics(spec)
        connections = [c for c in self._reader.connections if c.topic in names]
        stop = None if mark.stop_ns is None else mark.stop_ns + 1
        for topic, receive_ns, msg in self._messages(connections, mark.start_ns, stop):
            yield names[topic], receive_ns, msg

    def _messages(self, connections: list[Connection], start: int | None = None, stop: int | None = None):
        store = _typestore(connections)
        try:
            for connection, receive_ns, data in self._reader.messages(connections, start, stop):
                # a memoryview lets arrays share the message's bytes
                yield connection.topic, receive_ns, store.deserialize_cdr(memoryview(data), connection.msgtype)
        except (ReaderError, SerdeError, TypesysError, KeyError) as error:
            raise QtxError(f"{self.path} is damaged: {_reason(error)}") from None

    def _topics(self, spec: Spec) -> dict[str, str]:
        """Bag topic → spec topic; QtxError if a required topic is missing or of another type."""
        have = {c.topic: c.msgtype for c in self._reader.connections}
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
            if have[topic] != stream.type:
                raise QtxError(f"{self.path}: topic {topic!r} is {have[topic]}, robot {spec.name!r} says {stream.type}")
        return {topic: stream.topic for topic, stream in names.items()}


@contextmanager
def open_bag(path: str | Path) -> Iterator[Bag]:
    """Open a bag directory or a single .mcap or .db3 file; QtxError with a clear reason if it cannot be read."""
    path = Path(path)
    try:
        reader = Reader(_storage(path))
        reader.open()
    except QtxError:
        raise
    except Exception as error:  # a damaged file raises whatever its parser stumbles over
        raise QtxError(f"cannot read the bag {path}: {_reason(error)}") from None
    try:
        yield Bag(path, reader)
    finally:
        reader.close()


def content_hash(path: str | Path) -> str:
    """SHA-256 over all files of a bag, its late labels included."""
    path = Path(path)
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _storage(path: Path) -> Path:
    """What to open: a bag directory, or its only file if `metadata.yaml` is missing (the recorder died)."""
    if not path.exists():
        raise QtxError(f"there is no bag {path}")
    if path.is_file() or (path / "metadata.yaml").exists():
        return path
    files = [p for p in sorted(path.iterdir()) if p.suffix in STORAGES]
    if len(files) != 1:
        raise QtxError(f"{path} is not a bag: no metadata.yaml and {len(files)} files of type {' or '.join(STORAGES)}")
    return files[0]


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    cut_off = "end magic" in text or "footer" in text or "empty" in text
    return "the recording was cut off before it was closed" if cut_off else text


def _find(topic: str, have: dict[str, str]) -> str | None:
    """The bag's name of a spec topic: the name itself, or the only one that ends with it, under a namespace."""
    bare = topic.lstrip("/")
    for name in (topic, f"/{bare}"):
        if name in have:
            return name
    ends = [name for name in have if name.endswith(f"/{bare}")]
    return ends[0] if len(ends) == 1 and not topic.startswith("/") else None


def _typestore(connections: list[Connection]):
    """A typestore for the given topics: definitions from the bag where it has them."""
    store = _default_typestore() if any(_lacks_definition(c) for c in connections) else get_typestore(Stores.EMPTY)
    types = {}
    for connection in connections:
        if connection.msgdef.format == MessageDefinitionFormat.MSG:
            types.update(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        elif connection.msgdef.format == MessageDefinitionFormat.IDL:
            for part in connection.msgdef.data.split("=" * 80 + "\n"):
                types.update(get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part))
    store.register({name: fields for name, fields in types.items() if name not in store.fielddefs})
    return store


def _lacks_definition(connection: Connection) -> bool:
    return connection.msgdef.format == MessageDefinitionFormat.NONE


@functools.lru_cache(maxsize=1)
def _default_types() -> dict:
    """Our own message types, for bags that carry no definitions."""
    types = {}
    for file in sorted(share("msg").glob("*.msg")):
        types.update(get_types_from_msg(file.read_text(), f"qtx_ros/msg/{file.stem}"))
    return types


def _default_typestore():
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(_default_types())
    return store
