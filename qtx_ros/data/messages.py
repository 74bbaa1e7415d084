"""Messages ↔ arrays: the one translation that the live node and the converter share.

Message objects are duck-typed: those of rosbags, of rclpy and of the embedded backend all work. A new message type is
one line in `TYPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.spec import CommandStream, Spec, StateStream

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}


@dataclass(frozen=True)
class Translation:
    """What one message type can be: a camera image, named numbers (state), a command."""

    image: Callable[[Any], np.ndarray] | None = None
    state: Callable[[StateStream, Any], np.ndarray] | None = None
    command: Callable[[CommandStream, Any], np.ndarray] | None = None
    command_fields: Callable[[CommandStream, np.ndarray, int, int], dict] | None = None


# --- the seam ----------------------------------------------------------------------------------------------------

def image(msg: Any, type: str) -> np.ndarray:
    """The picture in a message of the given type, uint8 [h, w, 3] RGB. May share memory with the message."""
    return _translate(type, "image", "a camera image")(msg)


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


def stamp_ns(msg: Any) -> int | None:
    """Header stamp [ns]; None if the type has no header or the stamp was left at zero."""
    stamp = getattr(getattr(msg, "header", None), "stamp", None)
    if stamp is None:
        return None
    return (int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)) or None


def check(spec: Spec) -> None:
    """Raise QtxError if a stream of the spec has a message type that cannot serve its purpose."""
    for camera in spec.cameras:
        _translate(camera.type, "image", "a camera image")
    for stream in spec.states:
        _translate(stream.type, "state", "a state")
    for stream in spec.commands:
        _translate(stream.type, "command", "a command")


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
    return np.array([state[index(d.reference or d.name)] if d.mode == "delta" else 0.0 for d in spec.dimensions])


# --- images ------------------------------------------------------------------------------------------------------

def _image(msg: Any) -> np.ndarray:
    encoding, height, width, step = str(msg.encoding), int(msg.height), int(msg.width), int(msg.step)
    if encoding not in CHANNELS:
        raise QtxError(f"image encoding is {encoding!r}, expected one of {', '.join(CHANNELS)}")
    channels = CHANNELS[encoding]
    data = _bytes(msg.data)
    if min(height, width) < 1 or step < width * channels or data.size < height * step:
        raise QtxError(
            f"image of {width}x{height} {encoding} has step {step} and {data.size} bytes, "
            f"expected a step of at least {width * channels} and height x step bytes"
        )
    rows = data[: height * step].reshape(height, step)[:, : width * channels]
    return _rgb(rows.reshape(height, width, channels), encoding)


def _rgb(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """uint8 [h, w, 3] RGB of pixels [h, w, channels] in one of the known encodings."""
    if encoding == "mono8":
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, 2::-1] if encoding.startswith("bgr") else pixels[:, :, :3])


def _compressed_image(msg: Any) -> np.ndarray:
    form = str(msg.format)
    if "compresseddepth" in form.lower():
        raise QtxError(f"compressed image format is {form!r}, expected jpeg or png of a colour or grey image")
    try:
        pixels = cv2.imdecode(_bytes(msg.data), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # no bytes at all, or a header that promises too many pixels
        pixels = None
    if pixels is None:
        raise QtxError(f"compressed image of format {form!r} and {len(msg.data)} bytes does not decode as jpeg or png")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _bytes(data: Any) -> np.ndarray:
    """uint8 [n] of whatever a backend holds bytes in, without copying where it can."""
    if isinstance(data, np.ndarray):
        return data.view(np.uint8).reshape(-1)
    try:
        return np.frombuffer(data, np.uint8)
    except TypeError:
        return np.asarray(data, np.uint8)


# --- named numbers -----------------------------------------------------------------------------------------------

def _joint_state(stream: StateStream, msg: Any) -> np.ndarray:
    if stream.field not in ("position", "velocity", "effort"):
        raise QtxError(f"{stream.topic!r}: field is {stream.field!r}, expected position, velocity or effort")
    return _by_name(stream.topic, stream.names, msg.name, getattr(msg, stream.field), stream.field)


def _array_state(stream: StateStream, msg: Any) -> np.ndarray:
    return _in_order(stream.topic, stream.names, msg.data)


def _by_name(topic: str, wanted: Sequence[str], names: Sequence[str], values: Any, what: str) -> np.ndarray:
    """float64 [n] of the wanted entries of two parallel lists."""
    index = {name: i for i, name in enumerate(names)}
    missing = [name for name in wanted if name not in index]
    if missing:
        raise QtxError(f"{topic!r} has no {what} of {missing[0]!r}, it has {', '.join(names) or 'none'}")
    if len(values) != len(names):
        raise QtxError(f"{topic!r} has {len(values)} values of {what} for {len(names)} names")
    return np.array([values[index[name]] for name in wanted], np.float64)


def _in_order(topic: str, wanted: Sequence[str], values: Any) -> np.ndarray:
    """float64 [n] of a bare list that must have one value for each wanted name."""
    if len(values) != len(wanted):
        raise QtxError(f"{topic!r} has {len(values)} values, expected {len(wanted)}: {', '.join(wanted)}")
    return np.array(values, np.float64)


# --- commands ----------------------------------------------------------------------------------------------------

def _names(stream: CommandStream) -> list[str]:
    return [dimension.name for dimension in stream.dimensions]


def _trajectory(stream: CommandStream, msg: Any) -> np.ndarray:
    """Where the trajectory ends."""
    if len(msg.points) == 0:
        raise QtxError(f"{stream.topic!r} has a trajectory without points")
    return _by_name(stream.topic, _names(stream), msg.joint_names, msg.points[-1].positions, "position")


def _trajectory_fields(stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int) -> dict:
    point = {"positions": values.tolist(), "time_from_start": _time(period_ns)}
    return {"header": {"stamp": _time(stamp_ns)}, "joint_names": _names(stream), "points": [point]}


def _joint_command(stream: CommandStream, msg: Any) -> np.ndarray:
    return _by_name(stream.topic, _names(stream), msg.name, msg.position, "position")


def _joint_command_fields(stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int) -> dict:
    return {"header": {"stamp": _time(stamp_ns)}, "name": _names(stream), "position": values.tolist()}


def _array_command(stream: CommandStream, msg: Any) -> np.ndarray:
    return _in_order(stream.topic, _names(stream), msg.data)


def _array_command_fields(stream: CommandStream, values: np.ndarray, stamp_ns: int, period_ns: int) -> dict:
    return {"data": values.tolist()}


def _time(ns: int) -> dict:
    return {"sec": ns // 1_000_000_000, "nanosec": ns % 1_000_000_000}


# --- the table ---------------------------------------------------------------------------------------------------

TYPES: dict[str, Translation] = {
    "sensor_msgs/msg/Image": Translation(image=_image),
    "sensor_msgs/msg/CompressedImage": Translation(image=_compressed_image),
    "sensor_msgs/msg/JointState": Translation(
        state=_joint_state, command=_joint_command, command_fields=_joint_command_fields
    ),
    "std_msgs/msg/Float64MultiArray": Translation(
        state=_array_state, command=_array_command, command_fields=_array_command_fields
    ),
    "trajectory_msgs/msg/JointTrajectory": Translation(command=_trajectory, command_fields=_trajectory_fields),
}


def _translate(type: str, purpose: str, what: str) -> Callable:
    translation = getattr(TYPES.get(type, Translation()), purpose)
    if translation is None:
        able = ", ".join(name for name, t in TYPES.items() if getattr(t, purpose) is not None)
        raise QtxError(f"messages of type {type!r} cannot be {what}, expected one of {able}")
    return translation
