"""Joystick teleop for any robot: sensor_msgs/Joy in, commands out while the deadman's button is held."""

from __future__ import annotations

import time

import numpy as np

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.episode_keys import ACTIONS, EpisodeKeys
from qtx_ros.nodes.intervention import Intervention
from qtx_ros.nodes.teleop_drive import Drive
from qtx_ros.spec import Spec

DEAD_ZONE = 0.1
TIMEOUT = 0.3  # [s] without a Joy message: the deadman's button counts as released


class JoyTeleop(ros.Node):
    """Axes move the first dimensions; with the bank button held, the ones after those."""

    def __init__(self, spec: Spec, speed: float, **options) -> None:
        """`speed`: share of each dimension's range per tick at full deflection, in (0, 1]."""
        super().__init__("teleop", **options)
        self._declare(speed)
        self._axes = list(self._value("axes"))
        self._drive, self._episodes, self._intervention = Drive(self, spec), EpisodeKeys(self), Intervention(self, spec)
        self._dimensions = len(spec.dimensions)
        if self._dimensions > 2 * len(self._axes):
            raise QtxError(
                f"robot {spec.name!r} has {self._dimensions} dimensions, the parameter 'axes' names {len(self._axes)} "
                f"axes for two banks: expected at least {-(-self._dimensions // 2)}"
            )
        self._buttons, self._joy, self._heard = (), None, -np.inf
        self.create_subscription(ros.message("sensor_msgs/msg/Joy"), "joy", self._on_joy, 10)
        # nobody sets the steady clock: letting go must not wait
        self.create_timer(spec.period_ns * 1e-9, self._on_tick, clock=ros.steady_clock())

    def _declare(self, speed: float) -> None:
        def declare(name, default, text):
            self.declare_parameter(name, default, ros.ParameterDescriptor(description=text))

        declare("speed", speed, "share of each dimension's range per tick at full deflection")
        declare("axes", [1, 0, 4, 3], "joystick axes, in the order of the dimensions they move")
        declare("deadman_button", 4, "must be held to move")
        declare("bank_button", 5, "held: the axes move the next dimensions")
        for button, action in enumerate(ACTIONS):
            declare(f"{action}_button", button, f"recording: {action}")

    def _value(self, name: str):
        return self.get_parameter(name).value

    def _on_joy(self, msg) -> None:
        for action in ACTIONS:
            button = self._value(f"{action}_button")
            if _pressed(msg.buttons, button) and not _pressed(self._buttons, button):
                self._episodes.send(action)
        self._joy, self._buttons, self._heard = msg, msg.buttons, time.monotonic()

    def finish(self) -> None:
        """Let the robot stay where it is, if the joystick moves it."""
        self._drive.finish()

    def _on_tick(self) -> None:
        alive = self._joy is not None and time.monotonic() - self._heard < TIMEOUT
        held = alive and _pressed(self._buttons, self._value("deadman_button"))
        if alive:  # a joystick that died hands nothing back: the policy holds the robot
            self._intervention.say(held)
        self._drive.move(self._speeds() if held else np.zeros(self._dimensions))

    def _speeds(self) -> np.ndarray:
        """Float64 [D] in [-1, 1]."""
        first = len(self._axes) if _pressed(self._buttons, self._value("bank_button")) else 0
        speeds = np.zeros(self._dimensions)
        for dimension, axis in enumerate(self._axes, first):
            if dimension < self._dimensions and axis < len(self._joy.axes):
                deflection = float(self._joy.axes[axis])
                speeds[dimension] = deflection if abs(deflection) > DEAD_ZONE else 0.0
        return speeds * self._value("speed")


def _pressed(buttons, index: int) -> bool:
    return 0 <= index < len(buttons) and bool(buttons[index])
