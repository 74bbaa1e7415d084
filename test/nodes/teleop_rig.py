"""A robot, a teleop node of it, and a human at its keys or sticks; all in one process, over topics."""

from __future__ import annotations

import contextlib

import numpy as np
from robot_stub import Robot, Spinner, wait

from qtx_ros import ros
from qtx_ros.nodes.joystick import JoyTeleop
from qtx_ros.nodes.keyboard import KeyboardTeleop
from qtx_ros.spec import Spec

SPEED = 0.5
HIGH = (0.4, 1.0)  # m/s, rad/s
BASE = Spec.from_dict(
    {
        "name": "base",
        "rate": 20.0,
        "cameras": [],
        "states": [{"topic": "wheels", "names": ["left", "right"]}],
        "commands": [
            {
                "topic": "cmd_vel",
                "type": "geometry_msgs/msg/Twist",
                "interface": "velocity",
                "dimensions": [
                    {"name": "linear.x", "low": -HIGH[0], "high": HIGH[0]},
                    {"name": "angular.z", "low": -HIGH[1], "high": HIGH[1]},
                ],
            }
        ],
    }
)
DRIVING, RESTING = (SPEED * HIGH[0], 0.0), (0.0, 0.0)  # what the base is commanded while the first key or stick is held
LATCHED = ros.QoSProfile(depth=100, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)


class Rig:
    """`mode`: keyboard or joy. `held`: the first dimension is moved upwards; `typed`: keys for the next tick."""

    def __init__(self, context: ros.Context, mode: str, **parameters) -> None:
        self.held, self.typed, self.log = False, "", []
        self.robot = Robot(BASE, context)
        node, self._joy = self.robot.node, ros.message("sensor_msgs/msg/Joy")
        self._sticks = node.create_publisher(self._joy, "joy", 10)
        node.create_timer(0.05, self._play)
        node.create_subscription(ros.message("rcl_interfaces/msg/Log"), "/rosout", self.log.append, LATCHED)
        overrides = [ros.Parameter(name, value=value) for name, value in parameters.items()]
        options = {"context": context, "parameter_overrides": overrides}
        self.teleop = (
            JoyTeleop(BASE, SPEED, **options) if mode == "joy" else KeyboardTeleop(BASE, SPEED, self._keys, **options)
        )
        self._spinner = Spinner(context, node, self.teleop)
        assert wait(lambda: node.count_publishers("cmd_vel") and node.count_subscribers("wheels"))

    @property
    def commands(self) -> list[np.ndarray]:
        return self.robot.commands["cmd_vel"]

    def commanded(self, values) -> bool:
        """Whether these values come to be the last command."""
        return wait(lambda: self.commands and np.allclose(self.commands[-1], values))

    def silent(self, seconds: float = 0.7) -> bool:
        """Whether nothing more is commanded."""
        count = len(self.commands)
        return not wait(lambda: len(self.commands) > count, seconds)

    def says(self, text: str, seconds: float = 20.0) -> bool:
        """Whether the log says this."""
        return wait(lambda: any(text in entry.msg for entry in list(self.log)), seconds)

    def close(self) -> None:
        self._spinner.close()

    def _keys(self) -> str:
        typed, self.typed = self.typed, ""
        return typed + "q" * self.held

    def _play(self) -> None:
        self._sticks.publish(self._joy(axes=[0.0, float(self.held)], buttons=[0, 0, 0, 0, int(self.held), 0, 0, 0]))


@contextlib.contextmanager
def rig(context: ros.Context, mode: str, **parameters):
    made = Rig(context, mode, **parameters)
    try:
        yield made
    finally:
        made.close()
