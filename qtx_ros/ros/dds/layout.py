"""Cyclone DDS topic descriptors from message definitions: the layout by which the library checks CDR on the wire."""

from __future__ import annotations

import ctypes as ct
import functools

from rosbags.interfaces import Nodetype

from qtx_ros.ros.dds.cyclone import Descriptor
from qtx_ros.ros.definitions import store

ADDRESS, END = 0x01 << 24, 0
STRING, BOUNDED_STRING, SEQUENCE, ARRAY, STRUCT, BOOLEAN, BOUNDED_SEQUENCE = 0x05, 0x06, 0x07, 0x08, 0x0A, 0x0E, 0x0B
SIZES = {
    "bool": BOOLEAN, "byte": 1, "char": 1, "octet": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2,
    "int32": 3, "uint32": 3, "float32": 3, "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
NO_OPTIMISATION = 1  # descriptor flag: the in-memory layout is never used, only CDR
SERVICE_HEADER = [ADDRESS | SIZES["uint64"] << 16, 0, ADDRESS | SIZES["int64"] << 16, 0]


def type_name(name: str) -> str:
    """`sensor_msgs/msg/Image` → `sensor_msgs::msg::dds_::Image_`."""
    package, kind, stem = name.split("/")
    return f"{package}::{kind}::dds_::{stem}_"


def ros_name(dds_type: str) -> str | None:
    """Inverse of `type_name`; None for types that are not ROS 2's."""
    parts = dds_type.split("::")
    if len(parts) != 4 or parts[2] != "dds_" or not parts[3].endswith("_"):
        return None
    return f"{parts[0]}/{parts[1]}/{parts[3][:-1]}"


@functools.cache
def descriptor(name: str, header: bool = False) -> Descriptor:
    """The descriptor of a message type; `header`: preceded by rmw_cyclonedds's 16-byte service header."""
    words = (SERVICE_HEADER if header else []) + operations(name)
    array = (ct.c_uint32 * len(words))(*words)
    result = Descriptor(
        size=8,
        align=8,
        flags=NO_OPTIMISATION,
        typename=type_name(name).encode(),
        operation_count=len(words),
        operations=ct.addressof(array),
    )
    result.owner = array
    return result


def operations(name: str) -> list[int]:
    """The operation words for a message; nested messages are flattened, which CDR does not tell apart."""
    words: list[int] = []
    for _, kind in store().fielddefs[name][1]:
        words += _field(kind)
    return [*words, END]


def _field(kind: tuple) -> list[int]:
    node, value = kind
    if node == Nodetype.NAME:
        return operations(value)[:-1]
    if node == Nodetype.BASE:
        base, bound = value
        if base == "string":
            return [ADDRESS | BOUNDED_STRING << 16, 0, bound + 1] if bound else [ADDRESS | STRING << 16, 0]
        return [ADDRESS | SIZES[base] << 16, 0]
    return _array(*value) if node == Nodetype.ARRAY else _sequence(*value)


def _sequence(item: tuple, bound: int) -> list[int]:
    node, value = item
    kind, count = (BOUNDED_SEQUENCE, [bound]) if bound else (SEQUENCE, [])
    if node == Nodetype.NAME:
        words = operations(value)
        start = 4 + len(count)
        return [ADDRESS | kind << 16 | STRUCT << 8, 0, *count, 8, (start + len(words)) << 16 | start, *words]
    base, limit = value
    if base == "string" and limit:
        return [ADDRESS | kind << 16 | BOUNDED_STRING << 8, 0, *count, limit + 1]
    return [ADDRESS | kind << 16 | (STRING if base == "string" else SIZES[base]) << 8, 0, *count]


def _array(item: tuple, count: int) -> list[int]:
    node, value = item
    if node == Nodetype.NAME:
        words = operations(value)
        return [ADDRESS | ARRAY << 16 | STRUCT << 8, 0, count, (5 + len(words)) << 16 | 5, 8, *words]
    base, limit = value
    if base == "string" and limit:
        return [ADDRESS | ARRAY << 16 | BOUNDED_STRING << 8, 0, count, 0, limit + 1]
    return [ADDRESS | ARRAY << 16 | (STRING if base == "string" else SIZES[base]) << 8, 0, count]
