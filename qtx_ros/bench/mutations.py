"""Ways to break a bag, each with its own seed: what disks, cables and strangers do to files.

A mutation changes what is written (messages, definitions: a bag that is whole but says nonsense), or files afterwards.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from mcap.opcode import Opcode

from qtx_ros.bags.scan import Scan
from qtx_ros.bench import bombs
from qtx_ros.bench.bags import TYPES, Message, build, definition
from qtx_ros.bench.kinds import Define, Kind
from qtx_ros.spec import Spec

ABSURD = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
MARK = "qtx_ros/msg/EpisodeEvent"


@dataclass
class Case:
    """A bag on its way to be broken."""

    rng: random.Random
    folder: Path
    kind: Kind
    spec: Spec
    messages: list[Message]
    define: Define = definition
    robot: Path | None = None  # a broken robot description beside a sound bag
    did: str = ""  # what was done
    consistent: bool = False  # the bag is whole: what is in it was written so
    in_messages: bool = False  # the damage lies in message data, so that a topic must be named

    def write(self) -> Path:
        """Write the bag as it is meant to be."""
        return self.kind.write(self.folder, "bag", self.messages, define=self.define)

    def data_file(self, bag: Path) -> Path:
        """One of the files with messages."""
        return self.rng.choice(sorted(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3", ".zstd")))


def flip(case: Case) -> Path:
    """One to three bytes of a file change."""
    bag = case.write()
    file = case.data_file(bag)
    data = bytearray(file.read_bytes())
    inside = _chunk_spans(file)
    case.in_messages = bool(inside)
    for _ in range(case.rng.choice((1, 1, 1, 2, 3))):
        at = case.rng.randrange(len(data))
        case.in_messages &= any(start <= at < end for start, end in inside)
        data[at] ^= 1 << case.rng.randrange(8) if case.rng.random() < 0.5 else case.rng.randrange(1, 256)
        case.did += f"{file.name} byte {at} "
    file.write_bytes(data)
    return bag


def _chunk_spans(file: Path) -> list[tuple[int, int]]:
    """Where the data of chunks stands in an MCAP file."""
    if file.suffix != ".mcap":
        return []
    with Scan(file) as scan:
        chunks = [scan.chunk(record) for record in scan.records() if record.opcode == Opcode.CHUNK]
    return [(chunk.data_offset, chunk.data_offset + chunk.data_size) for chunk in chunks]


def cut(case: Case) -> Path:
    """A file ends early, is empty, missing, lacks a piece in the middle, or goes on with rubbish."""
    bag = case.write()
    file = case.data_file(bag)
    data = file.read_bytes()
    at, length = case.rng.randrange(len(data)), case.rng.randrange(1, 2000)
    how = case.rng.choice(("end", "end", "end", "empty", "missing", "middle", "rubbish"))
    case.did = f"{file.name} {how} {at}"
    if how == "missing":
        file.unlink()
        return bag
    middle = data[:at] + data[at + length :]
    file.write_bytes({"end": data[:at], "empty": b"", "middle": middle}.get(how, data + case.rng.randbytes(length)))
    return bag


def swap(case: Case) -> Path:
    """Two chunks, two pages, two blocks, two lines or two files change places."""
    bag = case.write()
    file = case.data_file(bag)
    files = sorted(p for p in bag.iterdir() if p.suffix == file.suffix)
    data = file.read_bytes()
    if len(files) > 1 and case.rng.random() < 0.3:
        other = next(f for f in files if f != file)
        file.write_bytes(other.read_bytes())
        other.write_bytes(data)
        case.did = f"{file.name} and {other.name}"
    elif case.rng.random() < 0.15:
        lines = (bag / "metadata.yaml").read_text().splitlines()
        a, b = sorted(case.rng.sample(range(len(lines)), 2))
        lines[a], lines[b] = lines[b], lines[a]
        (bag / "metadata.yaml").write_text("\n".join(lines))
        case.did = f"metadata.yaml lines {a} and {b}"
    else:
        (a, b), (c, d) = _two_blocks(case, file, data)
        file.write_bytes(data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:])
        case.did = f"{file.name} {a}-{b} and {c}-{d}"
    return bag


def _two_blocks(case: Case, file: Path, data: bytes) -> list[tuple[int, int]]:
    """What changes places: chunks of an MCAP file, pages of a database, any blocks of others."""
    blocks: list[tuple[int, int]] = []
    if file.suffix == ".mcap":
        with Scan(file) as scan:
            blocks = [(r.offset, r.end) for r in scan.records() if r.opcode in (Opcode.CHUNK, Opcode.MESSAGE)]
    elif file.suffix == ".db3":
        blocks = [(at, at + 4096) for at in range(0, len(data), 4096)]
    if len(blocks) < 2:
        size = len(data) // 8
        blocks = [(at, at + size) for at in range(0, len(data) - size, size)]
    return sorted(case.rng.sample(blocks, 2))


def length(case: Case) -> Path:
    """A length says something absurd: in a message, or in what the file says of itself."""
    if case.rng.random() < 0.5:
        return _length_in_message(case)
    bag = case.write()
    file = case.data_file(bag)
    data = bytearray(file.read_bytes())
    at = _length_field(case, file, data)
    value = case.rng.choice(ABSURD)
    packed = struct.pack("<Q", value)[: case.rng.choice((4, 8))]
    data[at : at + len(packed)] = packed[: len(data) - at]
    file.write_bytes(data)
    case.did = f"{file.name} byte {at} := {value}"
    return bag


def _length_field(case: Case, file: Path, data: bytes) -> int:
    """Where a length stands: right after a record's kind, inside a chunk's header or an index, or anywhere."""
    if file.suffix != ".mcap":
        return case.rng.randrange(max(1, len(data) - 8))
    with Scan(file) as scan:
        record = case.rng.choice(list(scan.records()))
    inside = [0, 9 + 16, 9 + 24, 9 + 28, 9 + 32] if record.opcode == Opcode.CHUNK else [0, 2, 9, 9 + 8]
    return min(record.offset + 1 + case.rng.choice(inside), len(data) - 8)


def _length_in_message(case: Case) -> Path:
    """A whole bag with a message whose writer lied about a length."""
    number = case.rng.randrange(len(case.messages))
    item = case.messages[number]
    data = bytearray(item.data)
    at = case.rng.choice(_small_numbers(data) or [4])
    value = case.rng.choice(ABSURD) & 0xFFFFFFFF
    data[at : at + 4] = struct.pack("<I", value)
    if case.rng.random() < 0.2:
        data = data[: case.rng.randrange(len(data))]
    case.messages[number] = replace(item, data=bytes(data))
    case.did, case.consistent = f"message {number} of {item.topic} byte {at} := {value}", True
    return case.write()


def _small_numbers(data: bytes) -> list[int]:
    """Where numbers of four bytes stand that may be lengths: in CDR they are aligned after the first four bytes."""
    places = range(4, min(len(data), 600) - 3, 4)
    return [at for at in places if 0 < struct.unpack_from("<I", data, at)[0] < 5000]


def wrong_type(case: Case) -> Path:
    """A topic has another type than it says, or the bag defines a type otherwise than its name promises."""
    case.consistent = True
    topics = sorted({(item.topic, item.type) for item in case.messages})
    topic, type = case.rng.choice(topics)
    if case.rng.random() < 0.3:
        other = case.rng.choice([t for _, t in topics if t != type] + ["std_msgs/msg/Empty", "a/msg/B", "", "x" * 99])
        case.messages[:] = [replace(m, type=other) if m.topic == topic else m for m in case.messages]
        case.did = f"{topic} says {other!r:.40}"
        case.define = lambda name: definition(name) if name in TYPES.fielddefs else ("uint8 x", "")
        return case.write()
    text, change = _other_definition(case.rng, type)
    case.define = lambda name: (text, "") if name == type else definition(name)
    case.did = f"{type} {change}"
    return case.write()


def _other_definition(rng: random.Random, type: str) -> tuple[str, str]:
    """A definition that is not the type's, and what was done to it."""
    text = definition(type)[0]
    lines = text.splitlines()
    fields = [i for i, line in enumerate(lines) if " " in line and not line.startswith(("MSG:", "#", "="))]
    at = rng.choice(fields)
    kind, _, name = lines[at].partition(" ")
    change = rng.choice(("drop", "retype", "rename", "array", "twist", *bombs.DEFINITIONS))
    if change in bombs.DEFINITIONS:
        return bombs.DEFINITIONS[change](type), change
    if change == "twist":
        place = rng.randrange(len(text))
        return text[:place] + rng.choice("\0\n=[]#<>9é ") + text[place + 1 :], change
    new = {"drop": [], "retype": [f"{rng.choice(('float32', 'string', 'int8', 'bool[]'))} {name}"]}
    new |= {"rename": [f"{kind} other_{name}"], "array": [f"{kind.split('[')[0]}[{rng.choice((3, 10**9))}] {name}"]}
    lines[at : at + 1] = new[change]
    return "\n".join(lines) + "\n", f"{change} {kind} {name}"


def hostile_yaml(case: Case) -> Path:
    """metadata.yaml or the robot's file is broken, lies, or is a bomb."""
    bag = case.write()
    file = bag / "metadata.yaml"
    if case.rng.random() < 0.3:
        file = case.robot = case.folder / "robot.yaml"
        file.write_text(yaml.safe_dump(case.spec.to_dict(), sort_keys=False))
        case.consistent = True
    text = file.read_text()
    change = case.rng.choice(("line", "line", "double", "value", "value", "value", "flip", "cut", *bombs.YAMLS))
    lines = text.splitlines()
    at = case.rng.randrange(len(lines))
    if change in bombs.YAMLS:
        text = bombs.YAMLS[change](text)
    elif change == "flip":
        place = case.rng.randrange(len(text))
        text = text[:place] + chr(case.rng.randrange(1, 0x2FF)) + text[place + 1 :]
    elif change == "cut":
        text = text[: case.rng.randrange(len(text))]
    else:
        key = lines[at].partition(":")[0]
        value = f"{key}: {case.rng.choice(bombs.VALUES)}"
        lines[at : at + 1] = {"line": [], "double": [lines[at]] * 2, "value": [value]}[change]
        text = "\n".join(lines)
    file.write_text(text, errors="surrogateescape")
    case.did = f"{file.name} {change} line {at}"
    return bag


def hostile_json(case: Case) -> Path:
    """The labels beside a bag, or the contract inside it, are broken, lie, or are a bomb."""
    inside = [i for i, item in enumerate(case.messages) if item.type == MARK]
    if case.rng.random() < 0.5:
        number = case.rng.choice(inside)
        event = TYPES.deserialize_cdr(case.messages[number].data, MARK)
        contract = _broken_json(case, event.contract or "{}")
        fields = {"event": event.event, "episode": event.episode, "contract": contract}
        data = bytes(TYPES.serialize_cdr(build(MARK, fields), MARK))
        case.messages[number] = replace(case.messages[number], data=data)
        case.did, case.consistent = f"contract {case.did}", True
        return case.write()
    bag = case.write()
    entry = {"label": "success", "comment": "fine", "reward": 1.0, "interventions": [[1, 2]], "time": 5, "by": "a@b"}
    text = _broken_json(case, json.dumps({"format": 2, "labels": [entry]}, indent=1))
    (bag / "labels.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    case.did, case.consistent = f"labels.json {case.did}", True
    return bag


def _broken_json(case: Case, text: str) -> str:
    change = case.rng.choice(("flip", "cut", "value", "value", "value", *bombs.JSONS))
    case.did = change
    if change in bombs.JSONS:
        return bombs.JSONS[change](text)
    place = case.rng.randrange(len(text))
    if change == "flip":
        return text[:place] + chr(case.rng.randrange(1, 0x2FF)) + text[place + 1 :]
    if change == "cut":
        return text[:place]
    colon = text.find(":", place)
    end = min((e for e in (text.find(c, colon) for c in ",}]\n") if e > 0), default=len(text))
    value = case.rng.choice(bombs.VALUES)
    case.did = f"value {value:.30}"
    return text[: colon + 1] + value + text[end:] if colon > 0 else text


def bomb(case: Case) -> Path:
    """A little file that wants to become a large one, or a database that is a program."""
    bag = case.write()
    file = case.data_file(bag)
    case.did = f"{file.name} {bombs.plant(case.rng, file)}"
    return bag


MUTATIONS: dict[str, Callable[[Case], Path]] = {
    "flipped bytes": flip,
    "truncation": cut,
    "swapped chunks": swap,
    "absurd lengths": length,
    "wrong types": wrong_type,
    "hostile YAML": hostile_yaml,
    "hostile JSON": hostile_json,
    "bombs": bomb,
}
