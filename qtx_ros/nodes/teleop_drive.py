"""Moving and stopping a robot by hand: what a teleop does at every tick with the speeds that a human asks for."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.emergency_stop import TOPIC, EmergencyStop
from qtx_ros.nodes.jog import Jog
from qtx_ros.nodes.robot_link import RobotLink
from qtx_ros.spec import CommandStream, Spec


class Drive:
    """Commands while speeds are asked for, a stop once when they end, and nothing else: idling is no action.

    The stop comes also when the measured state falls silent or the emergency stop is pressed. After an emergency stop
    every speed must have been zero once before anything moves: letting go of the button starts no motion.

    A motion begins where the robot is, and with what a policy last commanded it where that is not measured: taking over
    moves nothing but what was asked for.
    """

    def __init__(self, node: ros.Node, spec: Spec) -> None:
        self._node, self._jog, self._link = node, Jog(spec), RobotLink(node, spec)
        self._moving = self._locked = False
        for stream in spec.commands:
            witness = functools.partial(self._witness, stream)
            node.create_subscription(ros.message(stream.type), stream.topic, witness, 10)
        self._button = EmergencyStop(node, self._on_button)

    def move(self, speeds: np.ndarray) -> None:
        """Call it at every tick with speeds, float [D] in [-1, 1]; zero: released."""
        state, asked = self._link.state(), bool(np.any(speeds))
        self._locked = self._button.pressed or (self._locked and asked)
        refused = self._refused(state) if asked else ""
        if refused:
            self._node.get_logger().warning(f"{refused}: nothing is commanded", throttle_duration_sec=5.0)
        if asked and not refused:
            if not self._moving:
                self._jog.stop(state)
            self._link.send(self._jog.command(speeds, state))
            self._moving = True
        elif self._moving:
            self.stop()

    def stop(self) -> None:
        """Command a stop, also if nothing moves."""
        self._link.send(self._jog.stop(self._link.state()))
        self._moving = False

    def finish(self) -> None:
        """Command a stop if the robot is being moved."""
        if self._moving:
            self.stop()

    def _refused(self, state: np.ndarray | None) -> str:
        """Why the robot must not be moved; empty if it may."""
        if self._button.pressed:
            return f"the emergency stop is pressed (topic {TOPIC!r})"
        if self._locked:
            return "the emergency stop was pressed: let everything go once"
        return "no joint states" if state is None else ""

    def _witness(self, stream: CommandStream, msg: Any) -> None:
        if not self._moving:
            with contextlib.suppress(QtxError):  # whoever reads the command will say so
                self._jog.witness(stream, msg)

    def _on_button(self, pressed: bool) -> None:
        log = self._node.get_logger()
        if pressed:
            self._locked = True
            self.finish()
            log.error(f"emergency stop by topic {TOPIC!r}: moving by hand is refused until it is let go")
        else:
            log.warning("the emergency stop was let go: the robot can be moved by hand again")
