"""Message and service definitions: rosbags' store of ROS 2 types, the services it lacks, and our own files."""

from __future__ import annotations

import functools

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.ros.standard_services import SERVICES
from qtx_ros.standard_messages import MESSAGES

EMPTY = [("structure_needs_at_least_one_member", (Nodetype.BASE, ("uint8", 0)))]


@functools.cache
def store() -> Typestore:
    """All message types known by name; services stand in it as their parts `_Request`, `_Response`, `_Event`."""
    types = get_typestore(Stores.ROS2_JAZZY)
    for name, text in MESSAGES.items():
        _register_message(types, name, text)
    for path in sorted(share("msg").glob("*.msg")):
        _register_message(types, f"qtx_ros/msg/{path.stem}", path.read_text(encoding="utf-8"))
    for name, text in SERVICES.items():
        _register_service(types, name, text)
    for path in sorted(share("srv").glob("*.srv")):
        _register_service(types, f"qtx_ros/srv/{path.stem}", path.read_text(encoding="utf-8"))
    for name, (constants, fields) in types.fielddefs.items():
        types.fielddefs[name] = (constants, [(field, _without_char(kind)) for field, kind in fields])
    return types


def normal_name(name: str, kind: str = "msg") -> str:
    """`sensor_msgs/Image` → `sensor_msgs/msg/Image`.

    Raises:
        QtxError: the name is not of the form package/msg/Type.
    """
    parts = name.split("/")
    if len(parts) == 2:
        parts.insert(1, kind)
    if len(parts) != 3 or parts[1] not in ("msg", "srv", "action") or not all(parts):
        raise QtxError(f"{name!r} is not an interface name, expected one such as 'std_msgs/{kind}/Name'")
    return "/".join(parts)


def definition(name: str) -> str:
    """The ros2msg text of a message and of all messages it is made of, as bags carry it."""
    return store().generate_msgdef(known_message(name), ros_version=2)[0]


@functools.cache
def type_hash(name: str) -> str:
    """The RIHS01 hash by which ROS 2 names this version of a message or service type."""
    name = normal_name(name)
    if name not in store().fielddefs:
        raise QtxError(f"interface {name!r} is not known, cannot compute its type hash")
    return store().hash_rihs01(name)


def known_message(name: str) -> str:
    """The normal name of a message that exists here.

    Raises:
        QtxError: no such message.
    """
    name = normal_name(name)
    if name not in store().fielddefs:
        package = name.split("/")[0]
        near = sorted(other for other in store().fielddefs if other.startswith(package + "/msg/"))
        hint = f"{package} has {', '.join(near)}" if near else f"package {package!r} is not known"
        raise QtxError(f"message type {name!r} is not known without ROS 2: {hint}")
    return name


def known_service(name: str) -> str:
    """The normal name of a service that exists here.

    Raises:
        QtxError: no such service.
    """
    name = normal_name(name, "srv")
    if f"{name}_Request" not in store().fielddefs:
        known = sorted(other[: -len("_Request")] for other in store().fielddefs if other.endswith("_Request"))
        raise QtxError(f"service type {name!r} is not known without ROS 2: the known ones are {', '.join(known)}")
    return name


def _register_message(types: Typestore, name: str, text: str) -> None:
    parsed = get_types_from_msg(text, name)
    types.register({name: (parsed[name][0], parsed[name][1] or EMPTY)})


def _register_service(types: Typestore, name: str, text: str) -> None:
    """Register request, response, event and the service itself, as rosidl derives them from a .srv file."""
    package, _, stem = name.split("/")
    lines = text.splitlines()
    cut = lines.index("---")
    for suffix, part in (("Request", lines[:cut]), ("Response", lines[cut + 1 :])):
        parsed = get_types_from_msg("\n".join(part) + "\n", f"{package}/msg/{stem}")
        constants, fields = parsed[f"{package}/msg/{stem}"]
        types.register({f"{name}_{suffix}": (constants, fields or EMPTY)})
    parts = {suffix: (Nodetype.NAME, f"{name}_{suffix}") for suffix in ("Request", "Response", "Event")}
    event = [
        ("info", (Nodetype.NAME, "service_msgs/msg/ServiceEventInfo")),
        ("request", (Nodetype.SEQUENCE, (parts["Request"], 1))),
        ("response", (Nodetype.SEQUENCE, (parts["Response"], 1))),
    ]
    types.register({f"{name}_Event": ([], event)})
    whole = [(f"{suffix.lower()}_message", part) for suffix, part in parts.items()]
    types.register({name: ([], whole)})


def _without_char(kind: tuple) -> tuple:
    """ROS 2 reads `char` in a .msg file as uint8, in hashes too; rosbags hashes it as a character type."""
    node, value = kind
    if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return node, (_without_char(value[0]), value[1])
    return (node, ("uint8", 0)) if node == Nodetype.BASE and value[0] == "char" else kind
