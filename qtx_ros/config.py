"""Frozen dataclasses from YAML or JSON: unknown keys and wrong types are errors that name the place and the value."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from qtx_ros.errors import QtxError

T = TypeVar("T")


def load(cls: type[T], path: str | Path) -> T:
    """Build `cls` from a YAML or JSON file."""
    return build(cls, read(path), str(path))


def read(path: str | Path) -> dict:
    """The mapping in a YAML or JSON file."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise QtxError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QtxError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise QtxError(f"{path} holds {type(data).__name__}, expected a mapping of keys to values")
    return data


def build(cls: type[T], data: Any, where: str) -> T:
    """Build the dataclass `cls` from a mapping; `where` names the place in errors."""
    if not isinstance(data, dict):
        raise QtxError(f"{where}: got {data!r}, expected a mapping with the keys {_keys(cls)}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise QtxError(f"{where}: unknown key {key!r}, the keys are {_keys(cls)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise QtxError(f"{where}: key {name!r} is missing")
    return cls(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in data.items()})


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
        raise QtxError(f"{where}: got {value!r}, expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise QtxError(f"{where}: got {len(value)} values {list(value)!r}, expected {len(arguments)}")
    return tuple(_value(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True)))


def _typed(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Any:
        return value
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        raise QtxError(f"{where}: got {value!r}, expected {hint.__name__}")
    return value
