"""Generated message classes by name, their CDR, definitions and hashes: the rclpy half of `messages.py`."""

from __future__ import annotations

import array
import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message
from rosidl_runtime_py.utilities import get_message, get_service

from qtx_ros.errors import QtxError

TYPECODES = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
    "int64": "q", "uint64": "Q", "float": "f", "double": "d",
}  # fmt: skip
SEPARATOR = "=" * 80


@functools.cache
def message(name: str) -> type:
    """The generated class of a message type by name; its numeric sequences take NumPy arrays too.

    Raises:
        QtxError: the package is not built or has no such message.
    """
    try:
        cls = get_message(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise QtxError(f"message type {name!r} is not in this ROS 2 installation: {error}") from None
    _accept_arrays(cls)
    return cls


@functools.cache
def service(name: str) -> type:
    """The generated class of a service type by name, with `Request` and `Response`.

    Raises:
        QtxError: the package is not built or has no such service.
    """
    try:
        cls = get_service(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise QtxError(f"service type {name!r} is not in this ROS 2 installation: {error}") from None
    _accept_arrays(cls.Request)
    _accept_arrays(cls.Response)
    return cls


def serialize(msg: Any) -> bytes:
    """The message as CDR with its 4-byte encapsulation header."""
    return serialize_message(msg)


def deserialize(data: bytes | memoryview, name: str | type) -> Any:
    """The message in CDR `data`.

    Raises:
        QtxError: the bytes do not hold such a message.
    """
    cls = message(name) if isinstance(name, str) else name
    try:
        return deserialize_message(bytes(data), cls)
    except Exception as error:  # rclpy raises its RCLError or a bare RuntimeError, by middleware
        raise QtxError(f"{len(data)} bytes are not a {name}: {error}") from None


def definition(name: str) -> str:
    """The ros2msg text of a message and of all messages it is made of, as bags carry it."""
    names = _with_parts(message(name))
    try:
        texts = {name: _share_file(name, ".msg").read_text(encoding="utf-8") for name in names}
    except (LookupError, OSError):
        from qtx_ros.ros.definitions import definition as without_ros

        return without_ros(name)
    parts = [f"{SEPARATOR}\nMSG: {name.replace('/msg/', '/')}\n{texts[name]}" for name in names[1:]]
    return "\n".join([texts[names[0]], *parts])


def type_hash(name: str) -> str:
    """The RIHS01 hash of a message or service type; computed here where ROS 2 has none (Humble)."""
    try:
        described = json.loads(_share_file(name, ".json").read_text(encoding="utf-8"))
        return next(entry["hash_string"] for entry in described["type_hashes"] if entry["type_name"] == name)
    except (LookupError, OSError, StopIteration):
        from qtx_ros.ros.definitions import type_hash as computed

        return computed(name)


def _share_file(name: str, suffix: str) -> Path:
    package, kind, stem = name.split("/")
    return Path(get_package_share_directory(package)) / kind / f"{stem}{suffix}"


def _with_parts(cls: type) -> list[str]:
    """The full names of a message and of all messages it is made of, itself first."""
    found = [_full_name(cls)]
    for name in found:
        for kind in get_message(name).get_fields_and_field_types().values():
            for package, stem in re.findall(r"(\w+)/(\w+)", kind):
                part = f"{package}/msg/{stem}"
                if part not in found:
                    found.append(part)
    return found


def _full_name(cls: type) -> str:
    package, kind = cls.__module__.split(".")[:2]
    return f"{package}/{kind}/{cls.__name__}"


def _accept_arrays(cls: type) -> None:
    """Let numeric sequence fields take NumPy arrays, in the constructor and by assignment.

    rclpy's classes refuse them (Humble) or copy them number by number (a camera image: tens of milliseconds).
    """
    if "_qtx_takes_arrays" in vars(cls):
        return
    codes = {}
    for field, kind in cls.get_fields_and_field_types().items():
        for package, stem in re.findall(r"(\w+)/(\w+)", kind):
            _accept_arrays(get_message(f"{package}/msg/{stem}"))
        match = re.fullmatch(r"sequence<(\w+)(?:, \d+)?>", kind)
        if match and match[1] in TYPECODES:
            codes[field] = TYPECODES[match[1]]
            setattr(cls, field, _widened(getattr(cls, field), codes[field]))
    plain = cls.__init__

    @functools.wraps(plain)
    def init(self, **fields) -> None:
        plain(self, **{key: _plain(value, codes[key]) if key in codes else value for key, value in fields.items()})

    cls.__init__ = init
    cls._qtx_takes_arrays = True


def _widened(field: property, code: str) -> property:
    return property(field.fget, lambda self, value: field.fset(self, _plain(value, code)))


def _plain(value: Any, code: str) -> Any:
    """A NumPy array as the array.array that rclpy's classes hold; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    return array.array(code, np.ascontiguousarray(value, np.dtype(code)).tobytes())
