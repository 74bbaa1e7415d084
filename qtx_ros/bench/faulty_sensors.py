"""What can be wrong with a sensor's messages: one line of `FAULTS` each. Messages come in, broken ones go out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np

CAMERA, JOINTS = "camera/image_raw", "joint_states"
JUMP = 2.0  # [rad]
FROZEN_MOTION = 0.1  # [rad] what the contract's `frozen_motion` says


class Fault:
    """Passes every message on; its heirs do not. `topic`: where it is seen first, `topics`: whom it touches."""

    topic = CAMERA
    topics: tuple[str, ...] = (CAMERA,)
    begun = True  # whether a receiver could see by now that something is wrong

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        """What to send in place of a message: nothing, one, or several."""
        return [message]


class Edit(Fault):
    """Changes every message of one topic."""

    def __init__(self, topic: str, edit: Callable[[Any], Any]) -> None:
        self.topic, self.topics, self._edit = topic, (topic,), edit

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        self._edit(message)
        return [message]


class Silent(Fault):
    """Sends nothing."""

    def __init__(self, topic: str) -> None:
        self.topic, self.topics = topic, (topic,)

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        return []


class Frozen(Fault):
    """The same picture with fresh stamps. It begins when a joint message shows that the arm has moved."""

    topic, topics = JOINTS, (CAMERA, JOINTS)

    def __init__(self) -> None:
        self._picture: Any = None
        self._from: np.ndarray | None = None  # where the joints were when the picture was new
        self.begun = False

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        if topic == CAMERA:
            self._picture = message.data if self._picture is None else self._picture
            message.data = self._picture
        elif self._picture is None or self._from is None:
            self._from = np.array(message.position)
        else:
            self.begun = bool((np.abs(np.asarray(message.position) - self._from) > FROZEN_MOTION).any())
        return [message]


class Lossy(Fault):
    """Loses half of all messages."""

    topics = (CAMERA, JOINTS)

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        return [message] if random.random() < 0.5 else []


class Twice(Fault):
    """Sends everything twice."""

    topics = (CAMERA, JOINTS)

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        return [message, message]


class Swapped(Fault):
    """Sends the second of two messages before the first."""

    topics = (CAMERA, JOINTS)

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def pass_on(self, topic: str, message: Any) -> list[Any]:
        if topic in self._kept:
            return [message, self._kept.pop(topic)]
        self._kept[topic] = message
        return []


def stamped(seconds: float) -> Callable[[Any], None]:
    """Moves the header stamp."""

    def edit(message: Any) -> None:
        message.header.stamp.sec += math.floor(seconds)
        fraction = message.header.stamp.nanosec + round((seconds - math.floor(seconds)) * 1e9)
        message.header.stamp.sec += fraction // 10**9
        message.header.stamp.nanosec = fraction % 10**9

    return edit


def _black(message: Any) -> None:
    message.data = np.zeros(message.height * message.step, np.uint8)


def _small(message: Any) -> None:
    message.data = np.ascontiguousarray(
        np.asarray(message.data).reshape(message.height, message.width, 3)[::2, ::2]
    ).reshape(-1)
    message.height, message.width, message.step = message.height // 2, message.width // 2, message.step // 2


def _encoding(message: Any) -> None:
    message.encoding = "yuv999"


def _cut(message: Any) -> None:
    message.data = np.asarray(message.data)[:-1000]


def _reversed(message: Any) -> None:
    message.name, message.position = list(message.name)[::-1], np.asarray(message.position)[::-1].copy()


def _missing(message: Any) -> None:
    message.name, message.position = list(message.name)[1:], np.asarray(message.position)[1:].copy()


def placed(value: float) -> Callable[[Any], None]:
    """Puts a value in place of one joint's position."""

    def edit(message: Any) -> None:
        message.position = np.array(message.position)
        message.position[2] = value

    return edit


def _jump(message: Any) -> None:
    message.position = np.array(message.position)
    message.position[2] += JUMP


CLEAN = Fault()
FAULTS: dict[str, Callable[[], Fault]] = {
    "": lambda: CLEAN,
    "camera silent": lambda: Silent(CAMERA),
    "camera old": lambda: Edit(CAMERA, stamped(-1.0)),
    "camera frozen": Frozen,
    "camera black": lambda: Edit(CAMERA, _black),
    "camera small": lambda: Edit(CAMERA, _small),
    "camera encoding": lambda: Edit(CAMERA, _encoding),
    "camera cut": lambda: Edit(CAMERA, _cut),
    "camera far ahead": lambda: Edit(CAMERA, stamped(3600.0)),
    "camera far behind": lambda: Edit(CAMERA, stamped(-3600.0)),
    "camera ahead": lambda: Edit(CAMERA, stamped(0.09)),
    "joints silent": lambda: Silent(JOINTS),
    "joints reversed": lambda: Edit(JOINTS, _reversed),
    "joint missing": lambda: Edit(JOINTS, _missing),
    "joint NaN": lambda: Edit(JOINTS, placed(math.nan)),
    "joint infinite": lambda: Edit(JOINTS, placed(math.inf)),
    "joint jump": lambda: Edit(JOINTS, _jump),
    "lossy": Lossy,
    "twice": Twice,
    "swapped": Swapped,
}
