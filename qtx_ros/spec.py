"""The contract between a robot and a policy: cameras, state, action dimensions, rate, history, age limits.

A robot is one YAML file in `config/robot/`. The same contract travels in every bag, training set and bundle as JSON.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from qtx_ros import config
from qtx_ros.errors import QtxError
from qtx_ros.paths import share

MODES = ("absolute", "delta")
MOST_PIXELS = 8192  # a camera is not wider or higher than this as the network sees it
MOST_HISTORY = 1000  # [frames]
INTERFACES = ("position", "velocity", "effort")


@dataclass(frozen=True)
class Camera:
    """One camera: where its images come from and what the network sees of them."""

    name: str
    topic: str
    height: int  # [px] as the network sees it
    width: int  # [px]
    type: str = "sensor_msgs/msg/Image"
    crop: tuple[int, int, int, int] | None = None  # top, left, height, width in the source image [px]
    max_age: float = 0.15  # [s] header stamp to tick
    frozen_after: float | None = 0.25  # [s] the same picture for longer while the arm moves is a fault; null: never
    frozen_motion: float = 0.1  # [rad or m] motion of a joint that a working camera would have shown
    min_rate: float | None = None  # [Hz] a recording with fewer messages per second is marked; null: any rate
    max_gap: float | None = None  # [s] so is one with a longer silence
    max_lost: float | None = None  # [share] so is one that lost more
    encoding: str | None = None  # what images without colours hold (8UC3, …), such as bgr8
    depth: tuple[float, float] | None = None  # [m] nearest and farthest distance of a depth camera, black to white


@dataclass(frozen=True)
class StateStream:
    """Numbers the policy sees: the entries `names` of a message, by name and not by order."""

    topic: str
    names: tuple[str, ...]
    type: str = "sensor_msgs/msg/JointState"
    field: str = "position"
    max_age: float = 0.05  # [s]
    max_speed: float | None = None  # [unit/s] an entry that changes faster than it can is a fault; null: any speed
    min_rate: float | None = None  # [Hz] as a camera's
    max_gap: float | None = None  # [s]
    max_lost: float | None = None  # [share]


@dataclass(frozen=True)
class ActionDimension:
    """One action dimension, discretised into `bins` values between `low` and `high`."""

    name: str
    low: float
    high: float
    bins: int = 256
    mode: str = "absolute"  # absolute: the command itself; delta: command minus the measured `reference`
    reference: str | None = None  # name of a state entry; default: the dimension's own name
    limits: tuple[float, float] | None = None  # of the command, in its own unit
    margin: float = 0.0  # commands keep this far inside the limits
    max_velocity: float | None = None  # [unit/s] of the command; null: any
    max_acceleration: float | None = None  # [unit/s²]
    max_jerk: float | None = None  # [unit/s³]
    curve: float = 1.0  # above 1: bins lie closer to each other near zero, value = end · (share of the way)^curve

    @property
    def around_zero(self) -> bool:
        """Whether zero lies inside the range, and so is a bin."""
        return self.low < 0 < self.high

    @property
    def state_name(self) -> str:
        """The state entry that measures what this dimension commands."""
        return self.reference or self.name


@dataclass(frozen=True)
class CommandStream:
    """One topic that takes commands, and the action dimensions it carries."""

    topic: str
    dimensions: tuple[ActionDimension, ...]
    type: str = "trajectory_msgs/msg/JointTrajectory"
    interface: str = "position"  # what the values are: position, velocity or effort; the last two are held at zero
    frame: str = ""  # frame_id of what is sent


# Keys younger than the first training sets. At their default they are left out, so that digests stay what they were.
YOUNGER = {
    "frozen_after": Camera.frozen_after,
    "frozen_motion": Camera.frozen_motion,
    "max_speed": StateStream.max_speed,
    "encoding": Camera.encoding,
    "depth": Camera.depth,
    "frame": CommandStream.frame,
    "curve": ActionDimension.curve,
    "interface": CommandStream.interface,
}
# What recordings must be to be accepted, and how commands may move. Nothing is trained for it: no part of the digest.
LIMITS = {"min_rate": None, "max_gap": None, "max_lost": None}
LIMITS |= {"margin": 0.0, "max_velocity": None, "max_acceleration": None, "max_jerk": None}


@dataclass(frozen=True)
class InstructionStream:
    topic: str = "instruction"
    type: str = "std_msgs/msg/String"


@dataclass(frozen=True)
class EventStream:
    """Reward, success and end of episode."""

    topic: str = "step_event"
    type: str = "qtx_ros/msg/StepEvent"


@dataclass(frozen=True)
class InterventionStream:
    """A human drives instead of the policy while the last message is true."""

    topic: str = "intervention"
    type: str = "std_msgs/msg/Bool"


@dataclass(frozen=True)
class Spec:
    """Everything a policy has to know about a robot, and nothing else."""

    name: str
    rate: float  # [Hz] of ticks
    cameras: tuple[Camera, ...]
    states: tuple[StateStream, ...]
    commands: tuple[CommandStream, ...]
    history: int = 1  # frames the policy remembers
    tick: str = "timer"  # timer: a fixed grid; or a camera's name: a tick when its frame arrives
    instruction: InstructionStream = field(default_factory=InstructionStream)
    events: EventStream = field(default_factory=EventStream)
    intervention: InterventionStream = field(default_factory=InterventionStream)
    clock_offset: tuple[float, float] = (-0.005, 1.0)  # [s] plausible median of receive time minus header stamp

    def __post_init__(self) -> None:
        _check(self)

    @functools.cached_property
    def dimensions(self) -> tuple[ActionDimension, ...]:
        """All action dimensions, in the order of the policy's outputs."""
        return tuple(d for command in self.commands for d in command.dimensions)

    @functools.cached_property
    def state_names(self) -> tuple[str, ...]:
        """All state entries, in the order of the policy's input."""
        return tuple(name for stream in self.states for name in stream.names)

    @property
    def period_ns(self) -> int:
        """Time between ticks [ns]."""
        return round(1e9 / self.rate)

    def to_dict(self) -> dict:
        """The plain mapping, numbers in their declared type: 1 and 1.0 give the same text."""
        data = config.dump(config.build(Spec, config.dump(self), "spec"))
        defaults = YOUNGER | LIMITS
        for part in _parts(data):
            for key in defaults.keys() & part.keys():
                if part[key] == defaults[key]:
                    del part[key]
        if self.intervention == InterventionStream():
            del data["intervention"]
        return data

    def to_json(self) -> str:
        """Canonical JSON: equal specs give equal text."""
        return _canonical(self.to_dict())

    def digest(self) -> str:
        """SHA-256 of the canonical JSON without `LIMITS`."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        data = self.to_dict()
        for part in _parts(data):
            for key in LIMITS:
                part.pop(key, None)
        return hashlib.sha256(_canonical(data).encode()).hexdigest()

    @classmethod
    def from_dict(cls, data: dict, where: str = "spec") -> Spec:
        return config.build(cls, data, where)

    @classmethod
    def from_json(cls, text: str, where: str = "spec") -> Spec:
        return cls.from_dict(config.parse_json(text, where), where)

    @classmethod
    def load(cls, path: str | Path) -> Spec:
        """Read a robot YAML: a path, or the name of a shipped one such as `sawyer_sim`."""
        text = str(path)
        if "/" not in text and not text.endswith((".yaml", ".yml", ".json")):
            path = share(f"config/robot/{text}.yaml")
        return config.load(cls, path)


def _parts(data: dict) -> list[dict]:
    """Every stream and every action dimension in the plain mapping of a spec."""
    dimensions = [dimension for stream in data["commands"] for dimension in stream["dimensions"]]
    return [*data["cameras"], *data["states"], *data["commands"], *dimensions]


def _canonical(data: dict) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _check(spec: Spec) -> None:
    where = f"robot {spec.name!r}"
    if not (math.isfinite(spec.rate) and 0 < spec.rate <= 1000):
        raise QtxError(f"{where}: rate is {spec.rate}, expected a number in (0, 1000] Hz")
    if not 1 <= spec.history <= MOST_HISTORY:
        raise QtxError(f"{where}: history is {spec.history}, expected 1 to {MOST_HISTORY} frames")
    if not (spec.cameras or spec.state_names) or not spec.commands:
        raise QtxError(f"{where}: needs at least one camera or state entry and one command topic")
    if spec.tick != "timer" and spec.tick not in [camera.name for camera in spec.cameras]:
        raise QtxError(f"{where}: tick is {spec.tick!r}, expected 'timer' or a camera's name")
    _check_unique(where, "camera names", [camera.name for camera in spec.cameras])
    _check_unique(where, "state names", spec.state_names)
    _check_unique(where, "action dimensions", [d.name for d in spec.dimensions])
    topics = [s.topic for s in (*spec.cameras, *spec.states, *spec.commands)]
    topics += [s.topic for s in (spec.instruction, spec.events, spec.intervention)]
    _check_unique(where, "topics", topics)
    for camera in spec.cameras:
        if not (1 <= camera.height <= MOST_PIXELS and 1 <= camera.width <= MOST_PIXELS):
            size = f"{camera.height}x{camera.width}"
            raise QtxError(f"{where}: camera {camera.name!r} is {size}, expected 1 to {MOST_PIXELS} px each way")
        if camera.depth is not None and not (0 <= camera.depth[0] < camera.depth[1] < math.inf):
            raise QtxError(f"{where}: depth of {camera.name!r} is {camera.depth}, expected 0 <= near < far in m")
    for stream in (*spec.cameras, *spec.states):
        if not stream.max_age > 0:
            raise QtxError(f"{where}: max_age of {stream.topic!r} is {stream.max_age}, expected more than 0 s")
        for key in ("frozen_after", "frozen_motion", "max_speed", "min_rate", "max_gap"):
            value = getattr(stream, key, None)
            if value is not None and not value > 0:
                raise QtxError(f"{where}: {key} of {stream.topic!r} is {value}, expected more than 0")
        if stream.max_lost is not None and not 0 <= stream.max_lost <= 1:
            raise QtxError(f"{where}: max_lost of {stream.topic!r} is {stream.max_lost}, expected a share in [0, 1]")
    for command in spec.commands:
        if command.interface not in INTERFACES:
            what, expected = f"interface of {command.topic!r} is {command.interface!r}", ", ".join(INTERFACES)
            raise QtxError(f"{where}: {what}, expected one of {expected}")
    for dimension in spec.dimensions:
        _check_dimension(where, dimension, spec.state_names)


def _check_unique(where: str, what: str, names) -> None:
    double = sorted({name for name in names if list(names).count(name) > 1})
    if double:
        raise QtxError(f"{where}: {what} must differ, {', '.join(map(repr, double))} stand twice")


def _check_dimension(where: str, dimension: ActionDimension, state_names: tuple[str, ...]) -> None:
    what = f"{where}: action dimension {dimension.name!r}"
    if not (math.isfinite(dimension.low) and math.isfinite(dimension.high) and dimension.low < dimension.high):
        raise QtxError(f"{what}: low {dimension.low} and high {dimension.high} must be finite and low < high")
    if not 2 <= dimension.bins <= 65536:
        raise QtxError(f"{what}: bins is {dimension.bins}, expected 2 to 65536")
    if dimension.around_zero and dimension.bins < 3:
        raise QtxError(f"{what}: bins is {dimension.bins}, a range around zero needs at least 3")
    if not 1 <= dimension.curve <= 4:
        raise QtxError(f"{what}: curve is {dimension.curve}, expected 1 (bins of one width) to 4")
    if dimension.curve > 1 and not dimension.around_zero:
        ends = f"{dimension.low} to {dimension.high}"
        raise QtxError(f"{what}: curve {dimension.curve} needs a range around zero, not {ends}")
    if dimension.mode not in MODES:
        raise QtxError(f"{what}: mode is {dimension.mode!r}, expected one of {', '.join(MODES)}")
    if dimension.mode == "delta" and dimension.state_name not in state_names:
        wanted = f"mode delta needs the state entry {dimension.state_name!r}"
        raise QtxError(f"{what}: {wanted}, the robot has {', '.join(state_names)}")
    if dimension.limits is not None and not dimension.limits[0] < dimension.limits[1]:
        raise QtxError(f"{what}: limits are {dimension.limits}, expected low < high")
    room = math.inf if dimension.limits is None else dimension.limits[1] - dimension.limits[0]
    if not 0 <= dimension.margin < room / 2:
        raise QtxError(f"{what}: margin is {dimension.margin}, expected 0 to less than half of the limits' range")
    _check_motion(what, dimension)


def _check_motion(what: str, dimension: ActionDimension) -> None:
    limits = {key: getattr(dimension, key) for key in ("max_velocity", "max_acceleration", "max_jerk")}
    for key, value in limits.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise QtxError(f"{what}: {key} is {value}, expected more than 0")
    if dimension.max_velocity is None and any(value is not None for value in limits.values()):
        raise QtxError(f"{what}: max_acceleration and max_jerk need a max_velocity")
