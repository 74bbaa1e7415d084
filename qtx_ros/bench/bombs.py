"""Texts and files made to hurt whoever believes them: too deep, too large, too often repeated, or a program."""

from __future__ import annotations

import functools
import random
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

_LARGE = 1 << 31  # what a bomb unpacks to [bytes]

# What a value in YAML or JSON may turn into.
VALUES = (
    *("-1", "0", "1", "1000000", "1e999", "-1e999", "NaN", "true", "null", "[]", "{}", '""', '"x"', "[[]]", "0.5"),
    *("mcap", "18446744073709551616", "9223372036854775807", "9" * 30, "9" * 6000, '"\\ud800"', "*a", "!!x 1"),
    *("[1, 2]", "'../../../etc/passwd'", '{"a": 1}', "timer"),
)


def _laugh(_: str) -> str:
    names = "abcdefghij"
    rows = [f"{new}: &{new} [{', '.join(['*' + old] * 9)}]" for old, new in zip(names, names[1:], strict=False)]
    return "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *rows, "rosbag2_bagfile_information: *j"])


def _merges(_: str) -> str:
    names = "abcdefghij"
    rows = [f"{new}: &{new}\n  <<: [{', '.join(['*' + old] * 9)}]" for old, new in zip(names, names[1:], strict=False)]
    return "\n".join(["a: &a {version: 5}", *rows, "rosbag2_bagfile_information: *j"])


YAMLS: dict[str, Callable[[str], str]] = {
    "laughs": _laugh,
    "merges": _merges,
    "deep": lambda text: "rosbag2_bagfile_information: " + "[" * 50_000,
    "deep maps": lambda text: "\n".join(" " * depth + "a:" for depth in range(3000)),
    "itself": lambda text: "rosbag2_bagfile_information: &a [*a]",
    "object": lambda text: "!!python/object/apply:os.system ['true']",
    "large": lambda text: text + "# " + "x" * (8 << 20),
    "many": lambda text: text + "\n  more: [" + "1," * 400_000 + "]",
    "no text": lambda text: "\x00\x01" + text,
    "a list": lambda text: "- " + text.replace("\n", "\n  "),
    "nothing": lambda text: "",
    "twice": lambda text: text + "\n---\n" + text,
}

JSONS: dict[str, Callable[[str], str]] = {
    "deep": lambda text: "[" * 200_000,
    "deep maps": lambda text: '{"labels":' * 50_000,
    "quotes": lambda text: '"' + '\\"' * 200_000,
    "large": lambda text: text[:-1] + " " * (8 << 20) + "}",
    "digits": lambda text: "9" * 100_000,
    "a list": lambda text: f"[{text}]",
    "nothing": lambda text: "",
    "surrogate": lambda text: text.replace('"', '"\\ud800', 1),
    "twice": lambda text: text + text,
}

_RULE = "=" * 80 + "\n"


def _nested(type: str, inner: str, depth: int = 30) -> str:
    """A type of types, each with `inner` of the next."""
    package = type.split("/", maxsplit=1)[0] or "a"
    parts = [inner.format(f"{package}/T{0}")]
    parts += [f"MSG: {package}/T{n}\n{inner.format(f'{package}/T{n + 1}')}" for n in range(depth)]
    return _RULE.join([*parts, f"MSG: {package}/T{depth}\nuint8[0] nothing\n"])


DEFINITIONS: dict[str, Callable[[str], str]] = {
    "empty": lambda type: "",
    "of itself": lambda type: f"{type} again\n",
    "lists of itself": lambda type: f"{type}[] again\n",
    "long program": lambda type: "string[300000000] names\n",
    "nothing often": lambda type: _nested(type, "{0}[1000] all\n"),
    "twins": lambda type: _nested(type, "{0} left\n{0} right\n"),
    "deep": lambda type: _nested(type, "{0} inner\n", 3000),
    "large text": lambda type: "# " + "x" * (2 << 20) + "\nuint8 x\n",
    "infinite": lambda type: "float64 A=1e999\nuint8 x\n",
    "keywords": lambda type: "uint8 class\nuint8 __init__\nuint8 def\n",
}


def plant(rng: random.Random, file: Path) -> str:
    """Put a bomb where a file was; returns what it is."""
    if file.suffix == ".zstd":
        file.write_bytes(zeros("zstd"))
        return "zstd of zeros"
    if file.suffix == ".db3":
        name = rng.choice(sorted(_SCHEMAS))
        _database(file, _SCHEMAS[name])
        return name
    compression = rng.choice(("zstd", "lz4"))
    declared = rng.choice((1000, _LARGE, 1 << 27, 1 << 62))
    file.write_bytes(_chunk(compression, declared))
    return f"{compression} chunk of zeros that declares {declared}"


@functools.lru_cache(maxsize=4)
def zeros(compression: str) -> bytes:
    """Two gigabytes of zeros, compressed."""
    piece = bytes(1 << 24)
    if compression == "lz4":
        import lz4.frame

        compressor = lz4.frame.LZ4FrameCompressor()
        parts = [compressor.begin(), *(compressor.compress(piece) for _ in range(_LARGE >> 24)), compressor.flush()]
        return b"".join(parts)
    import zstandard

    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join([*(compressor.compress(piece) for _ in range(_LARGE >> 24)), compressor.flush()])


def _chunk(compression: str, declared: int) -> bytes:
    """An MCAP file with one chunk that unpacks to zeros, and a footer."""
    data, name = zeros(compression), compression.encode()
    head = struct.pack("<QQQII", 1, 2, declared, 0, len(name)) + name + struct.pack("<Q", len(data))
    records = [(1, struct.pack("<I4sI", 4, b"ros2", 0)), (6, head + data), (15, bytes(4)), (2, bytes(20))]
    body = b"".join(struct.pack("<BQ", kind, len(content)) + content for kind, content in records)
    return b"\x89MCAP0\r\n" + body + b"\x89MCAP0\r\n"


_TOPICS = "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);"
_MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB{more});"
_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
_ENDLESS += "SELECT i AS id, 1 AS topic_id, i AS timestamp,"
_ROW = "INSERT INTO topics VALUES (1, '/a', 'std_msgs/msg/String', 'cdr');"
_SCHEMAS = {
    "endless view": f"{_TOPICS}{_ROW}CREATE VIEW messages AS {_ENDLESS} zeroblob(1000000) AS data FROM n;",
    "generated data": _TOPICS
    + _ROW
    + "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, "
    + "data BLOB AS (zeroblob(900000000)));INSERT INTO messages(topic_id, timestamp) VALUES (1, 1);",
    "costly check": _TOPICS
    + _ROW
    + _MESSAGES.format(more=", CHECK (length(zeroblob(timestamp * 400000000)) > -1)")
    + "INSERT INTO messages VALUES (1, 1, 1, x'00');",
    "trigger": f"{_TOPICS}{_ROW}{_MESSAGES.format(more='')}CREATE TRIGGER t INSERT ON messages BEGIN SELECT 1; END;",
    "no messages": _TOPICS,
    "no topics": _MESSAGES.format(more=""),
    "texts": f"{_TOPICS}{_ROW}{_MESSAGES.format(more='')}INSERT INTO messages VALUES (1, 'x', 'y', 'z');",
    "no such topic": f"{_TOPICS}{_MESSAGES.format(more='')}INSERT INTO messages VALUES (1, 7, 1, x'00');",
    "far future": f"{_TOPICS}{_ROW}{_MESSAGES.format(more='')}INSERT INTO messages VALUES (1,1,5,x''),(2,1,1<<62,x'');",
    "virtual": f"{_TOPICS}CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data);",
}


def _database(file: Path, script: str) -> None:
    file.unlink()
    database = sqlite3.connect(file)
    database.executescript(script)
    database.close()
