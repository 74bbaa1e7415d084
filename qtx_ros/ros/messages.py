"""Message classes with default values, and their CDR: what the embedded backend sends and receives."""

from __future__ import annotations

import array
import copy
import dataclasses
import functools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError

from qtx_ros.errors import QtxError
from qtx_ros.ros.definitions import known_message, known_service, store

TYPECODES = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
    "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
SCALARS = {"bool": False, "string": "", "float32": 0.0, "float64": 0.0}
DEFAULTS = {("geometry_msgs/msg/Quaternion", "w"): 1.0}  # the one default value among the standard messages


class Message:
    """Base of all message classes: equality by value, the type's name in `__msgtype__`."""

    __msgtype__ = ""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_equal(value, getattr(other, name)) for name, value in vars(self).items())

    __hash__ = None

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        """Field names and their types in IDL notation, as rclpy's message classes give them."""
        return {field: _idl(kind) for field, kind in store().fielddefs[cls.__msgtype__][1]}


@functools.cache
def message(name: str) -> type:
    """The class of a message type by name, `message("sensor_msgs/msg/Image")`.

    Every field has ROS 2's default value and may be given by keyword. Numeric sequences take lists, arrays, bytes and
    NumPy arrays.

    Raises:
        QtxError: the type is not known.
    """
    name = known_message(name)
    if issubclass(store().types[name], Message):
        return store().types[name]
    fields = []
    for attribute, field, kind in _attributes(name):
        fields.append((attribute, Any, dataclasses.field(default_factory=_default(name, field, kind))))
    namespace = {constant: value for constant, _, value in store().fielddefs[name][0]}
    namespace |= {"__msgtype__": name, "__module__": __name__, "__doc__": f"Message {name}."}
    cls = dataclasses.make_dataclass(name.split("/")[-1], fields, bases=(Message,), namespace=namespace, eq=False)
    store().types[name] = cls
    return cls


@functools.cache
def service(name: str) -> type:
    """The class of a service type by name, with `Request` and `Response`: `service("std_srvs/srv/Trigger")`.

    Raises:
        QtxError: the type is not known.
    """
    name = known_service(name)
    parts = {part: message(f"{name}_{part}") for part in ("Request", "Response")}
    return type(name.split("/")[-1], (), {**parts, "__srvtype__": name, "__doc__": f"Service {name}."})


def serialize(msg: Any) -> bytes:
    """The message as CDR with its 4-byte encapsulation header.

    Raises:
        TypeError: a field holds a value that its type cannot carry.
    """
    return bytes(encode(msg, msg.__msgtype__))


def deserialize(data: bytes | memoryview, name: str | type) -> Any:
    """The message in CDR `data`; numeric sequences are read-only views of it.

    Raises:
        QtxError: the bytes do not hold such a message.
    """
    name = name if isinstance(name, str) else name.__msgtype__
    cls = message(name)
    try:
        return store().deserialize_cdr(memoryview(data), cls.__msgtype__)
    except (SerdeError, IndexError) as error:
        raise QtxError(f"{len(data)} bytes are not a {cls.__msgtype__}: {error}") from None


def encode(msg: Any, name: str) -> memoryview:
    """CDR of any object with the fields of message type `name`."""
    message(name)
    try:
        return store().serialize_cdr(_wire_ready(msg, name), name)
    except (AttributeError, struct.error, ValueError, SerdeError, OverflowError) as error:
        raise TypeError(f"cannot send as {name}: {error}") from None


def _attributes(name: str) -> list[tuple[str, str, tuple]]:
    """(Python attribute, field, kind) of every field; the attribute differs where the field's name is a keyword."""
    fields = store().fielddefs[name][1]
    attributes = [field.name for field in dataclasses.fields(store().types[name])]
    return [(attribute, *field) for attribute, field in zip(attributes[: len(fields)], fields, strict=True)]


def _default(name: str, field: str, kind: tuple) -> Callable[[], Any]:
    node, value = kind
    if node == Nodetype.BASE:
        plain = DEFAULTS.get((name, field), SCALARS.get(value[0], 0))
        return lambda: plain
    if node == Nodetype.NAME:
        return message(value)
    (item_node, item), count = value
    if node == Nodetype.SEQUENCE:
        if item_node == Nodetype.NAME:
            message(item)
        typecode = TYPECODES.get(item[0]) if item_node == Nodetype.BASE else None
        return (lambda: array.array(typecode)) if typecode else list
    if item_node == Nodetype.NAME:
        cls = message(item)
        return lambda: [cls() for _ in range(count)]
    if item[0] == "string":
        return lambda: [""] * count
    return lambda: np.zeros(count, _dtype(item[0]))


@functools.cache
def _plan(name: str) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The fields whose values may need a conversion before rosbags can serialise them."""
    steps = []
    for attribute, _, kind in _attributes(name):
        step = _conversion(kind)
        if step:
            steps.append((attribute, step))
    return tuple(steps)


def _conversion(kind: tuple) -> Callable[[Any], Any] | None:
    node, value = kind
    if node == Nodetype.NAME:
        return lambda part: _wire_ready(part, value)
    if node == Nodetype.BASE:
        return _byte if value[0] == "byte" else None
    (item_node, item), _ = value
    if item_node == Nodetype.NAME:
        return lambda items: [_wire_ready(part, item) for part in items]
    if item[0] == "string":
        return None
    dtype = _dtype(item[0])
    return lambda items: _as_array(items, dtype)


def _wire_ready(msg: Any, name: str) -> Any:
    """The message itself, or a shallow copy in which every numeric sequence is an array of the wire's type."""
    ready = msg
    for attribute, convert in _plan(name):
        value = getattr(msg, attribute)
        try:
            converted = convert(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"field {attribute!r} of {name}: {error}") from None
        if converted is not value:
            ready = copy.copy(msg) if ready is msg else ready
            setattr(ready, attribute, converted)
    return ready


def _as_array(values: Any, dtype: np.dtype) -> np.ndarray:
    """A contiguous array [n] of the wire's type.

    Raises:
        TypeError: the values do not fit the type.
    """
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.ndim == 1 and values.flags.c_contiguous:
        return values
    if isinstance(values, (list, tuple)) and values and isinstance(values[0], bytes):
        values = b"".join(values)  # rclpy's form of byte[]
    if isinstance(values, (bytes, bytearray)):
        values = np.frombuffer(values, np.uint8)
    given = np.asarray(values)
    if given.size == 0:
        return np.zeros(0, dtype)
    if given.ndim != 1 or given.dtype.kind not in "biuf":
        raise TypeError(f"got {given.dtype} of shape {list(given.shape)}, expected numbers of shape [n]")
    wire = np.ascontiguousarray(given.astype(dtype))
    if dtype.kind in "iu" and (given.dtype.kind == "f" or not np.array_equal(wire, given)):
        raise TypeError(f"got {given.dtype} from {given.min()} to {given.max()}, which {dtype} cannot hold")
    return wire


def _byte(value: Any) -> int:
    return value[0] if isinstance(value, bytes) else value


def _dtype(base: str) -> np.dtype:
    return np.dtype({"byte": "uint8", "char": "uint8"}.get(base, base))


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, (np.ndarray, array.array)) or isinstance(right, (np.ndarray, array.array)):
        return np.array_equal(np.asarray(left), np.asarray(right))
    return left == right


def _idl(kind: tuple) -> str:
    node, value = kind
    if node == Nodetype.NAME:
        return value.replace("/msg/", "/")
    if node == Nodetype.BASE:
        names = {"float32": "float", "float64": "double", "byte": "octet", "bool": "boolean"}
        return f"string<{value[1]}>" if value[0] == "string" and value[1] else names.get(value[0], value[0])
    item, count = value
    if node == Nodetype.ARRAY:
        return f"{_idl(item)}[{count}]"
    return f"sequence<{_idl(item)}, {count}>" if count else f"sequence<{_idl(item)}>"
