"""Message types as a bag defines them, bounded before any code is made of them, and messages decoded with them.

Without a definition in the bag (sqlite3 before Iron) the types of its distribution count, and ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from qtx_ros.bags.parts import Raw, Topic, damaged
from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.standard_messages import MESSAGES

MOST_TEXT = 256 << 10  # of a definition with all it depends on [characters]
MOST_ENTRIES = 1024  # of an array of fixed length, unless it is one of numbers
_RULE = "=" * 80 + "\n"
_BYTES = {"byte", "octet", "uint8", "char"}
# Fields of ours that bags of earlier versions do not have.
_YOUNGER = {"qtx_ros/msg/EpisodeEvent": {"problems"}}


def decoder(topic: Topic, distro: str = "") -> Callable[[Raw], Any]:
    """What makes a message object of a message of this topic; QtxError if its type cannot be understood or is not what
    its name says."""
    store = _known_store(topic, distro)

    def decode(raw: Raw) -> Any:
        try:
            # a memoryview lets arrays share the message's bytes
            return store.deserialize_cdr(memoryview(raw.data), topic.type)
        except Exception as error:  # whatever the generated code stumbles over
            raise damaged(raw.file, raw.where, f"it is no {topic.type}: {_text(error)}", topic.name) from None

    return decode


def stamped(topic: Topic, distro: str = "") -> bool:
    """Whether the topic's messages begin with the stamp of a header."""
    fields = _known_store(topic, distro).fielddefs
    path = [("header", topic.type), ("stamp", "std_msgs/msg/Header"), ("sec", "builtin_interfaces/msg/Time")]
    firsts = [fields[type][1][0] if type in fields and fields[type][1] else ("", None) for _, type in path]
    if [name for name, _ in firsts] != [name for name, _ in path]:
        return False
    return [what[1] for _, what in firsts[:2]] == [type for _, type in path[1:]]


def _known_store(topic: Topic, distro: str):
    """The typestore of a topic; QtxError that names the topic."""
    if topic.format != "cdr":
        raise QtxError(f"topic {topic.name!r} is serialised as {topic.format!r}, expected cdr")
    try:
        return _store(topic.type, topic.encoding, topic.definition, distro)
    except QtxError as error:
        raise QtxError(f"topic {topic.name!r}: {error}") from None


@functools.lru_cache(maxsize=256)
def _store(type: str, encoding: str, definition: str, distro: str):
    """A typestore that knows one type."""
    try:
        if not definition.strip() or encoding not in ("ros2msg", "ros2idl", "omgidl"):
            store = _defaults(distro)
            if type not in store.fielddefs:
                raise QtxError(f"the bag does not define {type}, and neither does the distribution")
            return store
        types = _parse(type, encoding, definition)
        _check_bounds(type, types)
        _check_expected(type, types)
        store = get_typestore(Stores.EMPTY)
        store.register(types)
        store.get_msgdef(type)
        return store
    except QtxError:
        raise
    except Exception as error:  # the parser and the code generator raise whatever they stumble over
        raise QtxError(f"the bag's definition of {type} cannot be understood: {_text(error)}") from None


def _parse(type: str, encoding: str, text: str) -> dict:
    if len(text) > MOST_TEXT:
        raise QtxError(f"the bag's definition of {type} has {len(text)} characters, at most {MOST_TEXT} are believed")
    if encoding == "ros2msg":
        return get_types_from_msg(text, type)
    types: dict = {}
    for part in text.split(_RULE):
        body = part.split("\n", 1)[-1] if part.startswith("IDL: ") else part
        if body.strip():
            types.update(get_types_from_idl(body))
    return types


def _check_bounds(type: str, types: dict) -> None:
    """No array whose elements would be unrolled into a program, or that takes no room in a message."""
    for name, (_, fields) in types.items():
        for field, (kind, what) in fields:
            if kind != Nodetype.ARRAY:
                continue
            (element, element_type), length = what
            unrolled = element != Nodetype.BASE or element_type[0] == "string"
            if not 1 <= length <= (MOST_ENTRIES if unrolled else 1 << 31):
                raise QtxError(f"the bag's definition of {type} has {length} entries in {name}.{field}")


def _check_expected(type: str, types: dict) -> None:
    """A type that has a standard's name has the standard's fields; further ones do not matter."""
    if type not in types:
        raise QtxError(f"the bag's definition of {type} defines {', '.join(types) or 'nothing'} instead")
    known = _known()
    for name, path in _reachable(type, known):
        have = dict(types[name][1]) if name in types else {}
        for field, wanted in known[name]:
            if field not in have and field in (*_YOUNGER.get(name, ()), "structure_needs_at_least_one_member"):
                continue
            if field not in have or _kind(have[field]) != _kind(wanted):
                said = _spell(have[field]) if field in have else "missing"
                where = ".".join((*path, field))
                raise QtxError(f"the bag's definition of {type} says {where} is {said}, expected {_spell(wanted)}")


def _reachable(type: str, known: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The standard types that a type is made of, each with the fields that lead to it."""
    if type not in known:
        return
    yield type, path
    for field, (kind, what) in known[type]:
        inner = what[0] if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE) else (kind, what)
        if inner[0] == Nodetype.NAME:
            yield from _reachable(inner[1], known, (*path, field))


def _kind(description: tuple) -> tuple:
    """A field's type without bounds of strings and sequences, which change nothing in a message."""
    kind, what = description
    if kind == Nodetype.BASE:
        return ("byte",) if what[0] in _BYTES else (what[0],)
    if kind == Nodetype.NAME:
        return ("message", what)
    return ("array", what[1], *_kind(what[0])) if kind == Nodetype.ARRAY else ("sequence", *_kind(what[0]))


def _spell(description: tuple) -> str:
    kind, what = description
    if kind == Nodetype.BASE:
        return what[0]
    if kind == Nodetype.NAME:
        return what
    return f"{_spell(what[0])}[{what[1] if kind == Nodetype.ARRAY else ''}]"


@functools.lru_cache(maxsize=1)
def _ours() -> dict:
    types: dict = {}
    for name, text in MESSAGES.items():
        types.update(get_types_from_msg(text, name))
    for file in sorted(share("msg").glob("*.msg")):
        types.update(get_types_from_msg(file.read_text(), f"qtx_ros/msg/{file.stem}"))
    return types


@functools.lru_cache(maxsize=1)
def _known() -> dict[str, list[tuple[str, tuple]]]:
    """The fields of the types of Humble and of ours: no later distribution took one away."""
    standard = get_typestore(Stores.ROS2_HUMBLE).fielddefs
    return {name: fields for name, (_, fields) in {**standard, **_ours()}.items()}


@functools.lru_cache(maxsize=4)
def _defaults(distro: str):
    """The types of a distribution (an unknown one: Humble) and ours."""
    named = getattr(Stores, f"ROS2_{distro.upper()}", Stores.ROS2_HUMBLE) if distro.isalpha() else Stores.ROS2_HUMBLE
    store = get_typestore(named)
    store.register(_ours())
    return store


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
