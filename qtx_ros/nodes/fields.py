"""Messages from nested dicts of fields, for whichever backend is there."""

from __future__ import annotations

import re
from typing import Any

from qtx_ros import ros

_NESTED = re.compile(r"(?:sequence<)?(\w+)/(\w+)")  # also of arrays: "sequence<pkg/Type>", "pkg/Type[3]"


def build(name: str, fields: dict) -> Any:
    """A message of type `name`; dicts, and lists of dicts, become nested messages."""
    cls = ros.message(name)
    kinds = cls.get_fields_and_field_types()
    return cls(**{key: _value(kinds[key], value) for key, value in fields.items()})


def _value(kind: str, value: Any) -> Any:
    if isinstance(value, dict):
        package, stem = _NESTED.match(kind).groups()
        return build(f"{package}/msg/{stem}", value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_value(kind, item) for item in value]
    return value


def time_message(ns: int) -> Any:
    """builtin_interfaces/Time of nanoseconds."""
    return ros.message("builtin_interfaces/msg/Time")(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def time_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time. The inverse of `time_message`."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec
