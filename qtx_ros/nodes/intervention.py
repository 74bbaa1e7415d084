"""A teleop says that a human drives: every tenth of a second while it is so, and once when it ends."""

from __future__ import annotations

import time

from qtx_ros import ros
from qtx_ros.spec import Spec

REPEAT = 0.1  # [s]; the policy holds the robot when it hears nothing for 0.5 s


class Intervention:
    """Publishes the intervention topic of a contract."""

    def __init__(self, node: ros.Node, spec: Spec) -> None:
        self._type = ros.message(spec.intervention.type)
        self._publisher = node.create_publisher(self._type, spec.intervention.topic, 1)
        self._human, self._said = False, 0.0

    def say(self, human: bool) -> None:
        """Call it at every tick with whether a human drives."""
        now = time.monotonic()
        if human != self._human or (human and now - self._said >= REPEAT):
            self._human, self._said = human, now
            self._publisher.publish(self._type(data=human))
