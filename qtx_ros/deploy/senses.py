"""What no single message shows: a frozen camera, a joint that jumped. Remembers what the sensors said before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qtx_ros.data.align import Observation
from qtx_ros.deploy import safety
from qtx_ros.spec import Camera, Spec, StateStream


@dataclass(frozen=True)
class Picture:
    """What a camera shows, and since when the arm has moved before it."""

    pixels: np.ndarray  # uint8 [H, W, 3]
    joints: np.ndarray  # float64 [D], measured when these pixels first came; NaN: not measured
    moved_ns: int | None = None  # when a joint was first seen further from there than a working camera can miss


@dataclass(frozen=True)
class Reading:
    """The last plausible numbers of a state stream."""

    time_ns: int
    values: np.ndarray  # float64 [n]


def look(before: Picture | None, pixels: np.ndarray, joints: np.ndarray, now_ns: int, motion: float) -> Picture:
    """What is known after one more look at uint8 [H, W, 3] with the joints at float64 [D].

    Another picture starts anew. The same picture stays what it was, and remembers the first motion of more than
    `motion`, also when the joints come back.
    """
    if before is None or not np.array_equal(before.pixels, pixels):
        return Picture(pixels, joints)
    if before.moved_ns is not None:
        return replace(before, moved_ns=min(before.moved_ns, now_ns))  # a clock set back must not hide the motion
    moved = (np.abs(joints - before.joints) > motion).any()
    return replace(before, moved_ns=now_ns) if moved else before


def frozen(picture: Picture, taken_ns: int, after_ns: int) -> bool:
    """Whether a picture taken more than `after_ns` after the joints had moved still shows what it showed before."""
    return picture.moved_ns is not None and taken_ns - picture.moved_ns > after_ns


class Senses:
    """Looks at every observation of one robot, in the order of time."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._pictures: dict[str, Picture] = {}  # by camera name
        self._readings: dict[str, Reading] = {}  # by topic

    def pictures(self, observation: Observation) -> list[str]:
        """A sentence for each camera that shows nothing, or still the same although the arm has moved."""
        joints = safety.measured(self.spec, observation.state)
        seen = [camera for camera in self.spec.cameras if camera.name in observation.frames]
        return [sentence for camera in seen if (sentence := self._picture(camera, observation, joints))]

    def _picture(self, camera: Camera, observation: Observation, joints: np.ndarray) -> str:
        pixels, now = observation.frames[camera.name], observation.tick_ns
        picture = look(self._pictures.get(camera.name), pixels, joints, now, camera.frozen_motion)
        self._pictures[camera.name] = picture
        if safety.blank(pixels):
            colour = ", ".join(str(level) for level in pixels[0, 0])
            return f"camera {camera.name!r} shows nothing: every pixel is about ({colour}), is its lens covered?"
        taken = now - observation.ages_ns.get(camera.topic, 0)
        if camera.frozen_after is None or not frozen(picture, taken, round(camera.frozen_after * 1e9)):
            return ""
        return (
            f"camera {camera.name!r} is frozen: still the same picture {(taken - picture.moved_ns) / 1e6:.0f} ms after "
            f"the arm began to move, limit {camera.frozen_after * 1e3:.0f} ms (frozen_after)"
        )

    def jumps(self, observation: Observation) -> list[str]:
        """A sentence for each state entry that changed faster than its stream's `max_speed` since it was plausible."""
        sentences, begin = [], 0
        for stream in self.spec.states:
            values = np.asarray(observation.state[begin : begin + len(stream.names)], np.float64)
            begin += len(stream.names)
            if stream.max_speed is not None and stream.topic in observation.ages_ns and np.isfinite(values).all():
                reading = Reading(observation.tick_ns - observation.ages_ns[stream.topic], values)
                sentences += self._jump(stream, reading)
        return sentences

    def _jump(self, stream: StateStream, reading: Reading) -> list[str]:
        before = self._readings.get(stream.topic)
        if before is not None and reading.time_ns >= before.time_ns:  # else: the first, or the clock was set back
            elapsed = reading.time_ns - before.time_ns
            jumped = safety.too_fast(before.values, reading.values, elapsed, stream.max_speed)
            if jumped.any():
                i = int(jumped.argmax())
                return [
                    f"state {stream.topic!r}: {stream.names[i]} went from {before.values[i]:.3g} to "
                    f"{reading.values[i]:.3g} in {elapsed / 1e6:.0f} ms, max_speed is {stream.max_speed:g} per second"
                ]
        self._readings[stream.topic] = reading
        return []
