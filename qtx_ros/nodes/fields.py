"""Messages from nested dicts of fields, for whichever backend is there."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from qtx_ros import ros
from qtx_ros.data.messages import by_topic, command_fields
from qtx_ros.spec import CommandStream, Spec

_NESTED = re.compile(r"(?:sequence<)?(\w+)/(\w+)")  # also of arrays: "sequence<pkg/Type>", "pkg/Type[3]"


def build(name: str, fields: dict) -> Any:
    """A message of type `name`; dicts, and lists of dicts, become nested messages."""
    cls = ros.message(name)
    kinds = cls.get_fields_and_field_types()
    return cls(**{key: _value(kinds[key], value) for key, value in fields.items()})


def command_message(stream: CommandStream, values: np.ndarray, now_ns: int, period_ns: int) -> Any:
    """The message that commands values, float64 [n], to be reached within a period.

    It is stamped with the present, but for a trajectory: there zero means "from now on", whatever the receiver's clock.
    """
    stamp = 0 if stream.type == "trajectory_msgs/msg/JointTrajectory" else now_ns
    return build(*command_fields(stream, values, stamp, period_ns))


def command_messages(spec: Spec, values: np.ndarray, now_ns: int) -> list[Any | None]:
    """For each command topic of a robot the message that commands its part of values, float64 [D], within a period;
    None where one of them is not finite (unknown)."""
    return [
        None if part is None else command_message(stream, part, now_ns, spec.period_ns)
        for stream, part in by_topic(spec, values)
    ]


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
