"""Synthetic bags for benchmarks and tests: any robot description, plausible latencies, no ROS needed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from qtx_ros.bags.writer import BagWriter, qos_profile
from qtx_ros.data import messages
from qtx_ros.paths import share
from qtx_ros.spec import Camera, CommandStream, Spec, StateStream
from qtx_ros.standard_messages import MESSAGES

START_NS = 1_700_000_000_000_000_000


def typestore():
    """rosbags' message types of ROS 2 with ours added."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict = {}
    for name, text in MESSAGES.items():
        types.update(get_types_from_msg(text, name))
    for file in sorted(share("msg").glob("*.msg")):
        types.update(get_types_from_msg(file.read_text(), f"qtx_ros/msg/{file.stem}"))
    store.register(types)
    return store


TYPES = typestore()


def build(type: str, fields: dict) -> Any:
    """A rosbags message from nested fields; what is not named gets its default."""
    known = {name: description for name, description in TYPES.fielddefs[type][1]}
    values = {name: _value(description, fields.get(name)) for name, description in known.items()}
    return TYPES.types[type](**values)


def _value(description: tuple, value: Any) -> Any:
    kind, what = int(description[0]), description[1]
    if kind == 1:  # a basic type
        return value if value is not None else "" if what[0] == "string" else False if what[0] == "bool" else 0
    if kind == 2:  # another message
        return build(what, value or {})
    element, length = what  # array or sequence
    items = value if value is not None else [None] * (length if kind == 3 else 0)
    if int(element[0]) == 1 and element[1][0] != "string":
        return np.asarray([0] * len(items) if value is None else items, _dtype(element[1][0]))
    return [_value(element, item) for item in items]


def _dtype(name: str) -> str:
    return {"bool": "?", "octet": "u1", "byte": "u1", "char": "u1"}.get(name, name)


@dataclass(frozen=True)
class Message:
    topic: str  # absolute
    type: str
    receive_ns: int
    data: bytes  # CDR


@dataclass(frozen=True)
class Script:
    """A synthetic recording: how long, how fast, how late, with which holes."""

    spec: Spec
    seconds: float = 4.0
    camera_hz: float = 20.0
    state_hz: float = 100.0
    command_hz: float = 40.0
    image: tuple[int, int] = (120, 160)  # height, width [px]
    camera_latency: float = 0.03  # [s] capture to receive
    gap: tuple[float, float] | None = None  # no camera frames between these times [s]
    success_at: float | None = None  # [s] a StepEvent says success
    instruction: str = "push the button"
    contract: bool = False  # marks and the contract inside, as our recorder writes
    label: str = ""  # with contract: the label of the stop mark
    seed: int = 0
    namespace: str = ""
    start_ns: int = START_NS
    clock_ahead: dict[str, float] = field(default_factory=dict)  # topic → [s] its header stamps run ahead


def script_messages(script: Script) -> Iterator[Message]:
    """The messages of a recording in the order they are received."""
    spec, items = script.spec, []
    for camera in spec.cameras:
        items += _camera(script, camera)
    for stream in spec.states:
        items += [(t + 0.001, stream.topic, stream.type, t, stream) for t in _times(script, script.state_hz)]
    for stream in spec.commands:
        items += [(t, stream.topic, stream.type, t, stream) for t in _times(script, script.command_hz, 0.0103)]
    items.append((0.0, spec.instruction.topic, spec.instruction.type, 0.0, spec.instruction))
    items += [(t, spec.events.topic, spec.events.type, t, spec.events) for t in _times(script, spec.rate, 0.002)]
    for received, topic, type, stamp, stream in sorted(items, key=lambda item: item[0]):
        stamp_ns = script.start_ns + round((stamp + script.clock_ahead.get(topic, 0.0)) * 1e9)
        fields = _fields(script, stream, stamp, stamp_ns)
        data = TYPES.serialize_cdr(build(type, fields), type)
        yield Message(_absolute(script, topic), type, script.start_ns + round(received * 1e9), bytes(data))


def _times(script: Script, hz: float, offset: float = 0.0) -> np.ndarray:
    return offset + np.arange(0, script.seconds, 1 / hz)


def _camera(script: Script, camera: Camera) -> list[tuple]:
    jitter = np.random.default_rng(script.seed)
    times = _times(script, script.camera_hz)
    if script.gap:
        times = times[(times < script.gap[0]) | (times >= script.gap[1])]
    late = script.camera_latency + jitter.uniform(-0.004, 0.004, len(times))
    return [(t + d, camera.topic, camera.type, t, camera) for t, d in zip(times, late, strict=True)]


def _absolute(script: Script, topic: str) -> str:
    return topic if topic.startswith("/") else "/".join(["", *filter(None, [script.namespace, topic])])


def _fields(script: Script, stream: Any, t: float, stamp_ns: int) -> dict:
    """Nested fields of the message that a stream sends for the moment t [s]."""
    stamp = {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9}
    if isinstance(stream, Camera):
        return {"header": {"stamp": stamp}, **_picture(script, stream, t)}
    if isinstance(stream, StateStream):
        values = [0.3 * np.sin(t + i) for i in range(len(stream.names))]
        if stream.type.endswith("MultiArray"):
            return {"data": values}
        return {"header": {"stamp": stamp}, "name": list(stream.names), stream.field: values}
    if isinstance(stream, CommandStream):
        values = [_command(script, d, t) for d in stream.dimensions]
        return messages.command_fields(stream, values, stamp_ns, script.spec.period_ns)[1]
    if stream is script.spec.instruction:
        return {"data": script.instruction}
    done = script.success_at is not None and t >= script.success_at
    return {"header": {"stamp": stamp}, "reward": float(done), "success": done}


def _command(script: Script, dimension, t: float) -> float:
    """A command within the dimension's range: for delta, a fifth of it beyond where the joint is."""
    middle, half = (dimension.high + dimension.low) / 2, (dimension.high - dimension.low) / 2
    step = middle + 0.2 * half * np.cos(3 * t)
    if dimension.mode == "absolute":
        return step
    for stream in script.spec.states:
        if dimension.state_name in stream.names:
            return step + 0.3 * np.sin(t + stream.names.index(dimension.state_name))
    raise KeyError(dimension.name)


def _picture(script: Script, camera: Camera, t: float) -> dict:
    height, width = script.image
    pixels = picture(height, width, t)
    if camera.type.endswith("CompressedImage"):
        return {"format": "jpeg", "data": cv2.imencode(".jpg", pixels)[1].reshape(-1)}
    return {"height": height, "width": width, "encoding": "rgb8", "step": width * 3, "data": pixels.reshape(-1)}


def picture(height: int, width: int, t: float) -> np.ndarray:
    """A moving picture at t [s], uint8 [height, width, 3]: it compresses as a camera's would."""
    top = round(40 * t) % height
    return np.ascontiguousarray(_texture(height, width)[top : top + height])


@functools.lru_cache(maxsize=4)
def _texture(height: int, width: int) -> np.ndarray:
    """uint8 [2 * height, width, 3]: waves with a little noise."""
    y, x = np.mgrid[0 : 2 * height, 0:width].astype(np.float32)
    layers = [127 + 100 * np.sin((x * a + y * b) / width * 6) for a, b in ((1, 0), (0, 1), (1, 1))]
    noise = np.random.default_rng(0).normal(0, 4, (2 * height, width, 3))
    return np.clip(np.stack(layers, 2) + noise, 0, 255).astype(np.uint8)


def definition(type: str) -> tuple[str, str]:
    """(ros2msg text with its dependencies, RIHS01 hash) of a type."""
    return TYPES.generate_msgdef(type, ros_version=2)[0], TYPES.hash_rihs01(type)


def write_bag(folder: Path, name: str, script: Script) -> Path:
    """Write a recording as our recorder would; with `script.contract` also its marks."""
    writer = BagWriter(folder, name)
    for item in marked_messages(script, name) if script.contract else script_messages(script):
        writer.add_topic(item.topic, item.type, *definition(item.type), [qos_profile()])
        writer.write(item.topic, item.receive_ns, item.data)
    return writer.close()


def marked_messages(script: Script, episode: str) -> list[Message]:
    """The messages of a recording between the marks of an episode."""
    items = list(script_messages(script))
    return [_mark(script, episode, 1, items[0].receive_ns), *items, _mark(script, episode, 2, items[-1].receive_ns)]


def _mark(script: Script, name: str, event: int, receive_ns: int) -> Message:
    fields = {"event": event, "episode": name, "instruction": script.instruction}
    fields |= {"contract": script.spec.to_json()} if event == 1 else {"label": script.label}
    type = "qtx_ros/msg/EpisodeEvent"
    data = TYPES.serialize_cdr(build(type, fields), type)
    return Message(_absolute(script, "episode/event"), type, receive_ns, bytes(data))
