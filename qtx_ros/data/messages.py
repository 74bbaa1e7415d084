"""Messages ↔ arrays: the one translation that the live node and the converter share.

Message objects are duck-typed: those of rosbags, of rclpy and of the embedded backend all work. A new message type is
one line in `TYPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from qtx_ros.data import compressed, images
from qtx_ros.data.entries import Fields, Listed, Named, Plain, by_name, fields
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera, CommandStream, Spec, StateStream


@dataclass(frozen=True)
class Translation:
    """What one message type can be: a camera image, named numbers (state), a command."""

    image: Callable[..., np.ndarray] | None = None
    state: Callable[[StateStream, Any], np.ndarray] | None = None
    command: Callable[[CommandStream, Any], np.ndarray] | None = None
    command_fields: Callable[[CommandStream, np.ndarray, int, int], dict] | None = None
    entries: Fields | Named | Listed | Plain | None = None  # where the numbers lie, if one of these says it
    stamped: bool = False  # a command with a header


# --- the seam ----------------------------------------------------------------------------------------------------


def image(msg: Any, type: str, camera: Camera | None = None) -> np.ndarray:
    """The picture in a message of the given type, uint8 [h, w, 3] RGB. May share memory with the message.

    `camera` says what messages without colours hold (`encoding`), how distances become grey (`depth`), and how much of
    the picture will be seen: of a JPEG of at least twice that size, only a half, a quarter or an eighth is decoded.
    """
    translate = _translate(type, "image", "a camera image")
    if camera is None:
        return translate(msg)
    least = (camera.height, camera.width) if camera.crop is None else None
    return translate(msg, camera.encoding, camera.depth, least)


def image_size(msg: Any, type: str, picture: np.ndarray) -> tuple[int, int]:
    """Height and width of the whole picture in a message, of which `image` made `picture`."""
    whole = compressed.size(msg) if type == "sensor_msgs/msg/CompressedImage" else None
    return whole or picture.shape[:2]


def state(stream: StateStream, msg: Any) -> np.ndarray:
    """The entries `stream.names` of a message, float64 [n], looked up by name."""
    return _translate(stream.type, "state", "a state")(stream, msg)


def command(stream: CommandStream, msg: Any) -> np.ndarray:
    """Absolute command values of a message, float64 [n] in the order of `stream.dimensions`."""
    return _translate(stream.type, "command", "a command")(stream, msg)


def command_fields(stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int) -> tuple[str, dict]:
    """The inverse of `command`: the message type and its nested fields for the values, float64 [n].

    `stamp_ns` goes into the header where there is one (0: "now" to a trajectory controller); a trajectory point is to
    be reached `period_ns` later.
    """
    values = np.asarray(values, np.float64)
    if values.shape != (len(stream.dimensions),):
        raise QtxError(f"{stream.topic!r}: got values {values.shape}, expected {len(stream.dimensions)} of them")
    fields = _translate(stream.type, "command_fields", "a command")
    return stream.type, fields(stream, values, int(stamp_ns), int(period_ns))


def check_commands(spec: Spec, values: np.ndarray) -> None:
    """QtxError if one of the commands, float64 [D], is nothing that can be sent, as four zeros for a rotation are.

    What is not finite is unknown, and not sent.
    """
    for stream, part in by_topic(spec, values):
        if part is not None:
            command_fields(stream, part, 0, spec.period_ns)


def by_topic(spec: Spec, values: np.ndarray) -> Iterator[tuple[CommandStream, np.ndarray | None]]:
    """Each command topic with its part of values, float64 [D]; None where one of them is not finite (unknown)."""
    begin = 0
    for stream in spec.commands:
        part = values[begin : begin + len(stream.dimensions)]
        begin += len(stream.dimensions)
        yield stream, part if np.isfinite(part).all() else None


def commanded(spec: Spec, last: np.ndarray, stream: CommandStream, msg: Any) -> np.ndarray:
    """What a robot was last commanded, float64 [D], after one more message on one of its command topics."""
    begin, values = spec.dimensions.index(stream.dimensions[0]), np.array(last, np.float64)
    values[begin : begin + len(stream.dimensions)] = command(stream, msg)
    return values


def stamp_ns(msg: Any) -> int | None:
    """Header stamp [ns]; None if the type has no header or the stamp was left at zero."""
    stamp = getattr(getattr(msg, "header", None), "stamp", None)
    if stamp is None:
        return None
    return (int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)) or None


def check(spec: Spec) -> None:
    """Raise QtxError if a stream of the spec has a message type, entry or encoding that cannot serve its purpose."""
    for camera in spec.cameras:
        _translate(camera.type, "image", "a camera image")
        if camera.encoding is not None and getattr(images.ENCODINGS.get(camera.encoding), "rgb", None) is None:
            able = ", ".join(name for name, encoding in images.ENCODINGS.items() if encoding.rgb is not None)
            raise QtxError(f"camera {camera.name!r}: encoding is {camera.encoding!r}, expected one of {able}")
    for stream in spec.states:
        _translate(stream.type, "state", "a state")
        if TYPES[stream.type].entries is not None:
            TYPES[stream.type].entries.check(stream.topic, stream.names)
    for stream in spec.commands:
        _translate(stream.type, "command", "a command")
        natural = next((interface for part, interface in NO_POSITIONS.items() if part in stream.type), stream.interface)
        if stream.interface != natural:
            raise QtxError(
                f"{stream.topic!r} is {stream.type} with interface {stream.interface!r}, expected {natural!r}: what it "
                "commands is held at zero, not where it was"
            )
        _check_command(stream, TYPES[stream.type])


def _check_command(stream: CommandStream, translation: Translation) -> None:
    if translation.entries is not None:
        translation.entries.check_write(stream.topic, _names(stream))
    if stream.frame and not translation.stamped:
        raise QtxError(f"{stream.topic!r}: frame is {stream.frame!r}, but {stream.type} has no header to carry it")


# --- actions: commands relative to the measured state ------------------------------------------------------------


def action(spec: Spec, command: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Action float64 [D] of an absolute command [D] given at a measured state [S]; delta dimensions subtract it."""
    return np.asarray(command, np.float64) - _references(spec, state)


def targets(spec: Spec, values: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The inverse of `action`, clipped to the dimensions' `limits`: absolute command float64 [D]."""
    target = np.asarray(values, np.float64) + _references(spec, state)
    low = [-np.inf if d.limits is None else d.limits[0] for d in spec.dimensions]
    high = [np.inf if d.limits is None else d.limits[1] for d in spec.dimensions]
    return np.clip(target, low, high)


def _references(spec: Spec, state: np.ndarray) -> np.ndarray:
    """What each dimension is relative to, float64 [D]: the measured entry for delta, zero for absolute."""
    state = np.asarray(state, np.float64)
    index = spec.state_names.index
    return np.array([state[index(d.state_name)] if d.mode == "delta" else 0.0 for d in spec.dimensions])


# --- named numbers ------------------------------------------------------------------------------------------------

Entries = Fields | Named | Listed | Plain


def _state(entries: Entries, stream: StateStream, msg: Any) -> np.ndarray:
    return entries.read(stream.topic, stream.names, msg)


def _joint_state(stream: StateStream, msg: Any) -> np.ndarray:
    if stream.field not in JOINT_FIELDS:
        raise QtxError(f"{stream.topic!r}: field is {stream.field!r}, expected {' or '.join(JOINT_FIELDS)}")
    return Named("name", stream.field).read(stream.topic, stream.names, msg)


def _names(stream: CommandStream) -> tuple[str, ...]:
    return tuple(dimension.name for dimension in stream.dimensions)


def _command(entries: Entries, stream: CommandStream, msg: Any) -> np.ndarray:
    return entries.read(stream.topic, _names(stream), msg)


def _command_fields(
    entries: Entries, stamped: bool, stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int
) -> dict:
    head = {"header": _header(stream, stamp_ns)} if stamped else {}
    return {**head, **entries.write(_names(stream), values)}


def _joint_command(stream: CommandStream, msg: Any) -> np.ndarray:
    return Named("name", stream.interface).read(stream.topic, _names(stream), msg)


def _joint_command_fields(stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int) -> dict:
    return {"header": _header(stream, stamp_ns), **Named("name", stream.interface).write(_names(stream), values)}


def _trajectory(stream: CommandStream, msg: Any) -> np.ndarray:
    """Where the trajectory ends."""
    if len(msg.points) == 0:
        raise QtxError(f"{stream.topic!r} has a trajectory without points")
    values = getattr(msg.points[-1], POINT_FIELDS[stream.interface])
    return by_name(stream.topic, _names(stream), msg.joint_names, values, stream.interface)


def _trajectory_fields(stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int) -> dict:
    point = {POINT_FIELDS[stream.interface]: values.tolist(), "time_from_start": _time(period_ns)}
    return {"header": _header(stream, stamp_ns), "joint_names": list(_names(stream)), "points": [point]}


def _header(stream: CommandStream, stamp_ns: int) -> dict:
    frame = {"frame_id": stream.frame} if stream.frame else {}
    return {"stamp": _time(stamp_ns), **frame}


def _time(ns: int) -> dict:
    return {"sec": ns // 1_000_000_000, "nanosec": ns % 1_000_000_000}


# --- the table ---------------------------------------------------------------------------------------------------


def _both(entries: Entries, stamped: bool = False) -> Translation:
    """A type that can be a state and a command."""
    return Translation(
        state=partial(_state, entries),
        command=partial(_command, entries),
        command_fields=partial(_command_fields, entries, stamped),
        entries=entries,
        stamped=stamped,
    )


def _only_state(entries: Entries) -> Translation:
    return Translation(state=partial(_state, entries), entries=entries)


def _pair(name: str, field: str, **groups: str) -> dict[str, Translation]:
    """A type of geometry_msgs and its sister with a header, which holds it in a field."""
    return {
        f"geometry_msgs/msg/{name}": _both(fields(**groups)),
        f"geometry_msgs/msg/{name}Stamped": _both(fields(field, **groups), stamped=True),
    }


def _bare(name: str, kind: str) -> dict[str, Translation]:
    """A number of std_msgs and, where there is one, the array of it."""
    scalar = {f"std_msgs/msg/{name}": _both(Plain(kind, single=True))}
    return scalar if kind == "?" else {**scalar, f"std_msgs/msg/{name}MultiArray": _both(Plain(kind))}


NO_POSITIONS = {"/Twist": "velocity", "/Accel": "effort", "/Wrench": "effort"}  # what keeps on moving when repeated
JOINT_FIELDS = ("position", "velocity", "effort")
POINT_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}  # of a trajectory's point
_POSE = {"position": "xyz", "orientation": "xyzw"}
_MOTION = {"linear": "xyz", "angular": "xyz"}
_IMU = {"orientation": "xyzw", "angular_velocity": "xyz", "linear_acceleration": "xyz"}
_XYZ = Fields("", ("x", "y", "z"))
_QUATERNION = ("x", "y", "z", "w")

TYPES: dict[str, Translation] = {
    "sensor_msgs/msg/Image": Translation(image=images.image),
    "sensor_msgs/msg/CompressedImage": Translation(image=compressed.image),
    "sensor_msgs/msg/JointState": Translation(
        state=_joint_state, command=_joint_command, command_fields=_joint_command_fields, stamped=True
    ),
    "sensor_msgs/msg/Joy": _both(Listed({"axes": float, "buttons": int}), stamped=True),
    "sensor_msgs/msg/Imu": _only_state(fields(**_IMU)),
    "sensor_msgs/msg/Range": _only_state(Fields("", ("range",))),
    "control_msgs/msg/GripperCommand": _both(Fields("", ("position", "max_effort"))),
    "trajectory_msgs/msg/JointTrajectory": Translation(
        command=_trajectory, command_fields=_trajectory_fields, stamped=True
    ),
    **_pair("Wrench", "wrench", force="xyz", torque="xyz"),
    **_pair("Twist", "twist", **_MOTION),
    **_pair("Accel", "accel", **_MOTION),
    **_pair("Pose", "pose", **_POSE),
    **_pair("Transform", "transform", translation="xyz", rotation="xyzw"),
    "geometry_msgs/msg/Vector3": _both(_XYZ),
    "geometry_msgs/msg/Vector3Stamped": _both(replace(_XYZ, prefix="vector."), stamped=True),
    "geometry_msgs/msg/Point": _both(_XYZ),
    "geometry_msgs/msg/PointStamped": _both(replace(_XYZ, prefix="point."), stamped=True),
    "geometry_msgs/msg/Quaternion": _both(Fields("", _QUATERNION, ("",))),
    "geometry_msgs/msg/QuaternionStamped": _both(Fields("quaternion.", _QUATERNION, ("",)), stamped=True),
    "geometry_msgs/msg/PoseWithCovarianceStamped": _only_state(fields("pose.pose", **_POSE)),
    "geometry_msgs/msg/TwistWithCovarianceStamped": _only_state(fields("twist.twist", **_MOTION)),
    "nav_msgs/msg/Odometry": _only_state(
        Fields("", tuple(f"pose.pose.{e}" for e in fields(**_POSE).entries)
                   + tuple(f"twist.twist.{e}" for e in fields(**_MOTION).entries))
    ),
    **_bare("Bool", "?"), **_bare("Float64", "f8"), **_bare("Float32", "f4"),
    **_bare("Int8", "i1"), **_bare("Int16", "i2"), **_bare("Int32", "i4"), **_bare("Int64", "i8"),
    **_bare("UInt8", "u1"), **_bare("UInt16", "u2"), **_bare("UInt32", "u4"), **_bare("UInt64", "u8"),
}  # fmt: skip


def _translate(type: str, purpose: str, what: str) -> Callable:
    translation = getattr(TYPES.get(type, Translation()), purpose)
    if translation is None:
        able = ", ".join(name for name, t in TYPES.items() if getattr(t, purpose) is not None)
        raise QtxError(f"messages of type {type!r} cannot be {what}, expected one of {able}")
    return translation
