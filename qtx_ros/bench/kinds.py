"""One recording as a bag in every form that recorders write: storages, compressions, splits, distributions."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import yaml

from qtx_ros.bags.writer import BagWriter, qos_profile
from qtx_ros.bench.bags import TYPES, Message, Script, definition, marked_messages
from qtx_ros.spec import Spec

DISTROS = {"foxy": 4, "humble": 5, "iron": 7, "jazzy": 9, "kilted": 9, "lyrical": 9}  # version of metadata.yaml
_SCHEMA = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY,ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY,metadata_version INTEGER NOT NULL,metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY,name TEXT NOT NULL,type TEXT NOT NULL,serialization_format TEXT NOT NULL,
                    offered_qos_profiles TEXT NOT NULL{hash});
{definitions}
CREATE TABLE messages(id INTEGER PRIMARY KEY,topic_id INTEGER NOT NULL,timestamp INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
"""
_DEFINITIONS = """
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY,topic_type TEXT NOT NULL,encoding TEXT NOT NULL,
                                 encoded_message_definition TEXT NOT NULL,type_description_hash TEXT NOT NULL);
"""


Define = Callable[[str], tuple[str, str]]  # type → its ros2msg text and RIHS01 hash


@dataclass(frozen=True)
class Kind:
    """One form of a bag: `write(folder, name, messages, define=…)`. `checked`: checksums cover every message."""

    write: Callable[..., Path]
    checked: bool


def small_spec() -> Spec:
    """A robot whose recordings are small: a camera of 16 x 16."""
    spec = Spec.load("sawyer_sim")
    cameras = tuple(replace(camera, height=16, width=16, crop=None) for camera in spec.cameras)
    return replace(spec, cameras=cameras)


def recording(spec: Spec) -> list[Message]:
    """A second of such a robot, marked and labelled."""
    script = Script(spec, seconds=0.8, state_hz=40, contract=True, label="success", success_at=0.6, image=(16, 16))
    return marked_messages(script, "bag")


def write_ours(
    folder: Path, name: str, messages: Sequence[Message], define: Define = definition, split_bytes: int = 0
) -> Path:
    """As our recorder writes, in one file or several."""
    writer = BagWriter(folder, name, split_bytes=split_bytes)
    for number, item in enumerate(messages):
        writer.add_topic(item.topic, item.type, *define(item.type), [qos_profile()])
        writer.write(item.topic, item.receive_ns, item.data)
        if number % 40 == 39:
            writer.flush()
    return writer.close()


def write_mcap(
    folder: Path,
    name: str,
    messages: Sequence[Message],
    define: Define = definition,
    compression: str = "NONE",
    distro: str = "jazzy",
    files: int = 1,
    zipped: bool = False,
    **options,
) -> Path:
    """As `ros2 bag record -s mcap` writes; `zipped` compresses whole files, more options are those of mcap's Writer."""
    bag = folder / name
    bag.mkdir(parents=True)
    parts = _parts(messages, files)
    for number, part in enumerate(parts):
        write_mcap_file(bag / f"{name}_{number}.mcap", part, define, compression, **options)
    names = [f"{name}_{number}.mcap" for number in range(len(parts))]
    return _finish(bag, "mcap", distro, list(zip(names, parts, strict=True)), "FILE" if zipped else "")


def write_mcap_file(
    path: Path, messages: Sequence[Message], define: Define = definition, compression: str = "NONE", **options
) -> Path:
    """One MCAP file by the mcap library."""
    from mcap.writer import CompressionType, Writer

    with open(path, "wb") as file:
        writer = Writer(file, **{"chunk_size": 8192, "compression": CompressionType[compression], **options})
        writer.start(profile="ros2", library="libmcap")
        channels: dict[str, int] = {}
        for item in messages:
            if item.topic not in channels:
                schema = writer.register_schema(item.type, "ros2msg", define(item.type)[0].encode())
                qos = {"offered_qos_profiles": yaml.safe_dump([qos_profile()])}
                channels[item.topic] = writer.register_channel(item.topic, "cdr", schema, qos)
            writer.add_message(channels[item.topic], item.receive_ns, item.data, item.receive_ns)
        writer.finish()
    return path


def write_sqlite(
    folder: Path,
    name: str,
    messages: Sequence[Message],
    define: Define = definition,
    distro: str = "humble",
    mode: str = "",
    files: int = 1,
) -> Path:
    """As `ros2 bag record -s sqlite3` writes: definitions from Iron on, compressed by file or message."""
    bag = folder / name
    bag.mkdir(parents=True)
    parts = _parts(messages, files)
    for number, part in enumerate(parts):
        _sqlite_file(bag / f"{name}_{number}.db3", part, define, distro, mode == "MESSAGE")
    names = [f"{name}_{number}.db3" for number in range(len(parts))]
    return _finish(bag, "sqlite3", distro, list(zip(names, parts, strict=True)), mode)


def _sqlite_file(path: Path, messages: Sequence[Message], define: Define, distro: str, zipped: bool) -> None:
    new = DISTROS[distro] >= 7
    script = _SCHEMA.format(hash=",type_description_hash TEXT NOT NULL" * new, definitions=_DEFINITIONS * new)
    topics = {item.topic: item.type for item in messages}
    numbers = {topic: number for number, topic in enumerate(topics, 1)}
    database = sqlite3.connect(path)
    database.executescript(script)
    database.execute("INSERT INTO schema VALUES (?, ?)", (4 if new else 3, distro))
    qos = yaml.safe_dump([qos_profile()])
    for topic, type in topics.items():
        row = (numbers[topic], topic, type, "cdr", qos, *[define(type)[1]] * new)
        database.execute(f"INSERT INTO topics VALUES ({','.join('?' * len(row))})", row)
    for number, type in enumerate(sorted(set(topics.values())) if new else (), 1):
        text, digest = define(type)
        database.execute("INSERT INTO message_definitions VALUES (?,?,?,?,?)", (number, type, "ros2msg", text, digest))
    rows = ((numbers[m.topic], m.receive_ns, _zip(m.data) if zipped else m.data) for m in messages)
    database.executemany("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", rows)
    database.commit()
    database.close()


def _zip(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def _parts(messages: Sequence[Message], files: int) -> list[list[Message]]:
    """The messages in as many files, one after another."""
    size = -(-len(messages) // files)
    return [[item for _, item in part] for _, part in groupby(enumerate(messages), lambda pair: pair[0] // size)]


def _finish(bag: Path, storage: str, distro: str, files: list[tuple[str, list[Message]]], mode: str) -> Path:
    """Compress the files if need be and write metadata.yaml."""
    if mode == "FILE":
        for name, _ in files:
            packed = _zip((bag / name).read_bytes())
            (bag / f"{name}.zstd").write_bytes(packed)
            (bag / name).unlink()
        files = [(f"{name}.zstd", part) for name, part in files]
    text = yaml.safe_dump({"rosbag2_bagfile_information": metadata(storage, distro, files, mode)}, sort_keys=False)
    (bag / "metadata.yaml").write_text(text)
    return bag


def metadata(storage: str, distro: str, files: Sequence[tuple[str, Sequence[Message]]], mode: str = "") -> dict:
    """metadata.yaml below its first key as a distribution writes it."""
    version = DISTROS[distro]
    messages = [item for _, part in files for item in part]
    first, last = messages[0].receive_ns, messages[-1].receive_ns
    counts = Counter((item.topic, item.type) for item in messages)
    info = {
        "version": version,
        "storage_identifier": storage,
        "duration": {"nanoseconds": last - first},
        "starting_time": {"nanoseconds_since_epoch": first},
        "message_count": len(messages),
        "topics_with_message_count": [_topic(version, *key, count) for key, count in counts.items()],
        "compression_format": "zstd" if mode else "",
        "compression_mode": mode,
        "relative_file_paths": [name for name, _ in files],
    }
    if version >= 5:
        info["files"] = [_file(name, part) for name, part in files]
    if version >= 6:
        info["custom_data"] = None
    if version >= 8:
        info["ros_distro"] = distro
    return info


def _topic(version: int, topic: str, type: str, count: int) -> dict:
    qos = {**qos_profile(), "history": "keep_last", "reliability": "reliable", "durability": "volatile"}
    profiles = [{**qos, "liveliness": "automatic"}] if version >= 9 else yaml.safe_dump([qos_profile()])
    entry = {"name": topic, "type": type, "serialization_format": "cdr", "offered_qos_profiles": profiles}
    if version >= 7:
        entry["type_description_hash"] = definition(type)[1] if type in TYPES.fielddefs else ""
    return {"topic_metadata": entry, "message_count": count}


def _file(name: str, messages: Sequence[Message]) -> dict:
    first, last = messages[0].receive_ns, messages[-1].receive_ns
    return {
        "path": name,
        "starting_time": {"nanoseconds_since_epoch": first},
        "duration": {"nanoseconds": last - first},
        "message_count": len(messages),
    }


KINDS = {
    "ours": Kind(write_ours, True),
    "ours split": Kind(partial(write_ours, split_bytes=40_000), True),
    "mcap": Kind(write_mcap, True),
    "mcap zstd": Kind(partial(write_mcap, compression="ZSTD", distro="lyrical"), True),
    "mcap lz4": Kind(partial(write_mcap, compression="LZ4", distro="kilted"), True),
    "mcap file.zstd": Kind(partial(write_mcap, zipped=True, distro="humble"), True),
    "mcap split": Kind(partial(write_mcap, files=3), True),
    "mcap no crc": Kind(partial(write_mcap, enable_crcs=False), False),
    "mcap no chunks": Kind(partial(write_mcap, use_chunking=False), False),
    "sqlite humble": Kind(write_sqlite, False),
    "sqlite jazzy": Kind(partial(write_sqlite, distro="jazzy", files=2), False),
    "sqlite file.zstd": Kind(partial(write_sqlite, distro="iron", mode="FILE"), False),
    "sqlite message.zstd": Kind(partial(write_sqlite, distro="jazzy", mode="MESSAGE"), False),
}
