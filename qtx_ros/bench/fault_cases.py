"""Every fault of `qtx bench faults`: how it begins and ends, and what `docs/safety.md` promises of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from qtx_ros.bench.rig import Rig
from qtx_ros.deploy.takeover import PATIENCE_NS
from qtx_ros.nodes.watchdog import LEAST
from qtx_ros.spec import Spec

HOLDS, DRIVES, EITHER = "holds", "drives on", "drives or holds"
FEW = 16  # messages that make the median of the last 31
SHIFT = 3600.0  # [s]


@dataclass(frozen=True)
class Terms:
    """What promises are made of [s]."""

    period: float
    camera_age: float
    state_age: float
    frozen_after: float
    patience: float  # of the watchdog

    @classmethod
    def of(cls, spec: Spec) -> Terms:
        """Those of a robot with one camera and one state stream."""
        camera, state, period = spec.cameras[0], spec.states[0], 1 / spec.rate
        return cls(period, camera.max_age, state.max_age, camera.frozen_after, max(LEAST, 3 * period))

    @property
    def silence(self) -> float:
        """From the last tick to the hold of the watchdog inside the node."""
        return max(self.camera_age, 2 * self.period) + self.period


@dataclass(frozen=True)
class Promise:
    """A limit in words and as a function, counted from the first faulty or missing message."""

    words: str
    seconds: Callable[[Terms], float]


@dataclass(frozen=True)
class Case:
    """One fault. `begin` and `end` return the moment [ns, monotonic] of the first message they change."""

    name: str
    begin: Callable[[Rig], int]
    end: Callable[[Rig], int]
    promise: Promise
    reason: str = ""  # regular expression that the reason of a hold must match
    expected: str = HOLDS
    seconds: float = 0.5  # that it lasts after the hold
    latched: bool = False  # it ends by ~/rearm only
    simulated: bool = False  # with use_sim_time and /clock
    silent: bool = False  # the policy cannot say why: the watchdog does


FRAME = Promise("the same tick: 1 period", lambda t: t.period)
STATE = Promise("the next tick: 2 periods", lambda t: 2 * t.period)
SILENT = Promise("max_age or 2 periods, + 1 period", lambda t: t.silence)
STALE_STATE = Promise("max_age of the joints + 2 periods", lambda t: t.state_age + 2 * t.period)
FROZEN = Promise("frozen_after + 3 periods", lambda t: t.frozen_after + 3 * t.period)
CLOCK = Promise("16 frames + 1 period", lambda t: (FEW + 1) * t.period)
TELEOP = Promise("0.5 s + 2 periods", lambda t: PATIENCE_NS / 1e9 + 2 * t.period)
WATCHDOG = Promise("patience of the watchdog + 2 periods", lambda t: t.patience + 2 * t.period)
NEVER_SILENT = Promise("a command every max_age or 2 periods, + 2 periods", lambda t: t.silence + t.period)


def _sensor(name: str, fault: str, promise: Promise, reason: str = "", **rest) -> Case:
    return Case(name, lambda rig: rig.robot.ask({"fault": fault}), lambda rig: rig.robot.ask({"fault": ""}),
                promise, reason, **rest)  # fmt: skip


def _kill_robot(rig: Rig) -> int:
    """Kill it at any moment between two frames; when the first frame is missing."""
    frame, period = rig.robot.ask({"fault": ""}), rig.spec.period_ns
    time.sleep(random.uniform(0.0, 2 * period / 1e9))
    killed = time.monotonic_ns()
    rig.robot.kill()
    return killed + (frame - killed) % period


def _kill_policy(rig: Rig) -> int:
    now = time.monotonic_ns()
    rig.policy.kill()
    return now


def _start_policy(rig: Rig) -> int:
    rig.start_policy()
    return time.monotonic_ns()


def _signalled(number: int) -> Callable[[Rig], int]:
    def send(rig: Rig) -> int:
        now = time.monotonic_ns()
        rig.policy.send(number)
        return now

    return send


def _said(topic: str, value: bool) -> Callable[[Rig], int]:
    def say(rig: Rig) -> int:
        now = time.monotonic_ns()
        rig.ears.say(topic, value)
        return now

    return say


def _teleop_dies(rig: Rig) -> int:
    """A human drives for a second; the moment of their last word."""
    for _ in range(10):
        said = time.monotonic_ns()
        rig.ears.say("intervention", True)
        time.sleep(0.1)
    return said


_BUSY: list[subprocess.Popen] = []


def _load(_rig: Rig) -> int:
    _BUSY.extend(subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1))
    return time.monotonic_ns()


def unload(_rig: Rig | None = None) -> int:
    """End the processes that keep every core busy."""
    for child in _BUSY:
        child.kill()
        child.wait()
    _BUSY.clear()
    return time.monotonic_ns()


def _clock(seconds: float) -> Callable[[Rig], int]:
    return lambda rig: rig.robot.ask({"shift": seconds})


AGE = r"camera 'front' is \d+ ms old, limit \d+ ms"
ON = {"expected": DRIVES, "seconds": 2.0}
CASES = (
    _sensor("camera stops", "camera silent", SILENT, AGE),
    _sensor("camera: old stamps", "camera old", FRAME, AGE),
    _sensor("camera: frozen", "camera frozen", FROZEN, "camera 'front' is frozen: still the same picture"),
    _sensor("camera: black", "camera black", FRAME, "camera 'front' shows nothing"),
    _sensor("camera: another size", "camera small", FRAME, "camera 'front' sends images of 64x64, it began with"),
    _sensor("camera: unknown encoding", "camera encoding", FRAME, "camera 'front': image encoding is 'yuv999'"),
    _sensor("camera: bytes cut off", "camera cut", FRAME, "camera 'front': image of 128x128 rgb8 has step"),
    _sensor("camera: clock 1 h ahead", "camera far ahead", FRAME, "camera 'front' has a clock ahead"),
    _sensor("camera: clock 1 h behind", "camera far behind", FRAME, AGE),
    _sensor("camera: clock 90 ms ahead", "camera ahead", CLOCK, "camera 'front' has a clock ahead.*clock_offset"),
    _sensor("joints stop", "joints silent", STALE_STATE, r"state 'joint_states' is \d+ ms old"),
    _sensor("joints in another order", "joints reversed", NEVER_SILENT, **ON),
    _sensor("a joint is missing", "joint missing", STATE, "state 'joint_states' has no position of 'right_j0'"),
    _sensor("a joint is NaN", "joint NaN", STATE, "state 'joint_states' holds NaN or infinity"),
    _sensor("a joint is infinite", "joint infinite", STATE, "state 'joint_states' holds NaN or infinity"),
    _sensor("a joint jumps by 2 rad", "joint jump", STATE, "right_j2 went from .* max_speed is", seconds=0.2),
    _sensor("half of all messages lost", "lossy", NEVER_SILENT, expected=EITHER, seconds=4.0),
    _sensor("every message twice", "twice", NEVER_SILENT, **ON),
    _sensor("messages swapped in pairs", "swapped", NEVER_SILENT, expected=EITHER, seconds=2.0),
    Case("sensors' process: kill -9, another starts", _kill_robot, Rig.swap_robot, SILENT,
         rf"{AGE}|state 'joint_states' is \d+ ms old"),
    Case("every core busy, nice 0", _load, unload, NEVER_SILENT, expected=EITHER, seconds=5.0),
    Case("emergency stop", _said("emergency_stop", True), _said("emergency_stop", False), FRAME,
         "emergency stop by topic 'emergency_stop'", latched=True),
    _sensor("black for longer than latch_after", "camera black", FRAME, "latched after 5 s: camera 'front' shows",
            latched=True),
    Case("teleop took over and dies", _teleop_dies, _said("intervention", False), TELEOP,
         "the teleop that took over has been silent for"),
    Case("policy: kill -9, another starts", _kill_policy, _start_policy, WATCHDOG,
         "the policy moved the robot and has been silent for", silent=True),
    Case("policy: SIGSTOP, SIGCONT", _signalled(signal.SIGSTOP), _signalled(signal.SIGCONT), WATCHDOG,
         "the policy moved the robot and has been silent for", silent=True),
    Case("own clock set back 1 h, sensors' too", _clock(-SHIFT), _clock(0.0), STATE, "the clock was set back by 3[56]",
         simulated=True, seconds=1.0),
    Case("own clock set forward 1 h, sensors' too", _clock(SHIFT), _clock(0.0), NEVER_SILENT,
         expected=EITHER, simulated=True, seconds=1.0),
)  # fmt: skip
