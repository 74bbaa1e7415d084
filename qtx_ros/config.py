"""Frozen dataclasses from YAML or JSON: unknown keys and wrong types are errors that name the place and the value.

Files of strangers are bounded in size, depth and what their aliases expand to before anything is built from them.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from qtx_ros.errors import QtxError

T = TypeVar("T")

MOST_BYTES = 4 << 20  # of a YAML or JSON text
MOST_DEPTH = 40  # of nested lists and mappings
MOST_VALUES = 200_000  # in a text, aliases expanded

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(cls: type[T], path: str | Path) -> T:
    """Build `cls` from a YAML or JSON file."""
    return build(cls, read(path), str(path))


def read(path: str | Path) -> dict:
    """The mapping in a YAML or JSON file; QtxError if it holds anything else."""
    data = parse_yaml(read_text(path), str(path))
    if not isinstance(data, dict):
        raise QtxError(f"{path} holds {type(data).__name__}, expected a mapping of keys to values")
    return data


def read_text(path: str | Path) -> str:
    """The text of a small file; QtxError if it cannot be read, is too large or no UTF-8."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise QtxError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise QtxError(f"{path} has more than {MOST_BYTES} bytes, no such file needs that many")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise QtxError(f"{path} is no text: byte {error.start} is not valid UTF-8") from None


def parse_yaml(text: str, where: str) -> Any:
    """What a YAML text holds; QtxError if it is not YAML, too large, too deep, or its aliases expand to too much."""
    try:
        _check_size(text, where)
        _check_events(yaml.parse(text, _Loader), where)
        return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, LookupError, AttributeError) as error:
        raise QtxError(f"{where} is not valid YAML: {_one_line(error)}") from None


def parse_json(text: str, where: str) -> Any:
    """What a JSON text holds; QtxError if it is not JSON, too large or too deep."""
    try:
        _check_size(text, where)
        depth = _json_depth(text)
        if depth > MOST_DEPTH:
            raise QtxError(f"{where} is nested {depth} deep, expected at most {MOST_DEPTH}")
        data = json.loads(text)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return data
    except (ValueError, RecursionError) as error:
        raise QtxError(f"{where} is not valid JSON: {_one_line(error)}") from None


def _check_size(text: str, where: str) -> None:
    if len(text) > MOST_BYTES:
        raise QtxError(f"{where} has {len(text)} characters, expected at most {MOST_BYTES}")


def _check_events(events: Iterable[yaml.Event], where: str) -> None:
    """Bounds on a YAML text that cost no more than reading it once: no node is built here."""
    sizes: dict[str, int] = {}  # of each finished anchor, aliases expanded
    open_nodes: list[tuple[str | None, int]] = []  # anchor of each open collection, and the total before it
    total = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor or ""] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise QtxError(f"{where}: alias {event.anchor!r} stands before or inside what it repeats")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor or ""] = 1
            total += 1
        if len(open_nodes) > MOST_DEPTH:
            raise QtxError(f"{where} is nested more than {MOST_DEPTH} deep")
        if total > MOST_VALUES:
            raise QtxError(f"{where} holds more than {MOST_VALUES} values, aliases expanded")


def _json_depth(text: str) -> int:
    """How deep lists and mappings are nested, brackets in strings counted out."""
    depth = deepest = 0
    for piece in _BRACKETS.finditer(text):
        if piece[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif piece[0] in "]}":
            depth -= 1
    return deepest


_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def build(cls: type[T], data: Any, where: str) -> T:
    """Build the dataclass `cls` from a mapping; `where` names the place in errors."""
    if not isinstance(data, dict):
        raise QtxError(f"{where}: got {shown(data)}, expected a mapping with the keys {_keys(cls)}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise QtxError(f"{where}: unknown key {shown(key)}, the keys are {_keys(cls)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise QtxError(f"{where}: key {name!r} is missing")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in data.items()}
    try:
        return cls(**values)
    except QtxError as error:
        raise QtxError(f"{where}: {error}") from None


def dump(config: Any) -> dict:
    """The plain mapping `build` takes back: JSON and YAML friendly."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _keys(cls: type) -> str:
    return ", ".join(field.name for field in dataclasses.fields(cls))


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is dict:
        return _typed(dict, value, where)
    return _typed(hint, value, where)


def _tuple(arguments: tuple, value: Any, where: str) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise QtxError(f"{where}: got {shown(value)}, expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise QtxError(f"{where}: got {len(value)} values {shown(value)}, expected {len(arguments)}")
    return tuple(_value(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True)))


def _typed(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value, where)
    if hint is Any:
        return value
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        raise QtxError(f"{where}: got {shown(value)}, expected {hint.__name__}")
    if hint is int and value.bit_length() > 63:
        raise QtxError(f"{where}: got a whole number of {value.bit_length()} bits, expected at most 63")
    return value


def _float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise QtxError(f"{where}: got a whole number of {value.bit_length()} bits, no float is that large") from None


def shown(value: Any) -> str:
    """A value as it stands in an error: never longer than a line."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}…"
