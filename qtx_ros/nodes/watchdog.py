"""`qtx watchdog`: a process of its own that holds the robot when the policy's process dies or hangs.

It knows nothing of networks: it hears the policy's decisions, and when they stop after a motion it commands a hold, at
the contract's rate, until they come back or a human takes over.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from qtx_ros import ros
from qtx_ros.data import messages
from qtx_ros.deploy import safety
from qtx_ros.deploy.bundle import bundle_folder, load_bundle
from qtx_ros.deploy.takeover import Takeover
from qtx_ros.deploy.watch import Watch
from qtx_ros.errors import QtxError
from qtx_ros.nodes.any_publisher import hear_any
from qtx_ros.nodes.robot_link import RobotLink
from qtx_ros.nodes.run import overrides, run
from qtx_ros.spec import Spec

PARAMETERS = {
    "robot": ("", "robot YAML, or the name of a shipped one; empty: the contract in the bundle"),
    "bundle": ("", "the policy's bundle, for its contract; not needed with robot"),
    "policy": ("policy", "name of the policy's node"),
    "patience": (0.0, "silence after a motion [s] before the robot is held; 0: three periods, at least 0.25"),
}
LEAST = 0.25  # [s]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `qtx watchdog`; they are the node's parameters, so `--ros-args -p name:=value` says the same."""
    for name, (default, text) in PARAMETERS.items():
        parser.add_argument(f"--{name}", type=type(default), help=text)


def main(args: argparse.Namespace) -> int:
    """Run the node until SIGINT or SIGTERM."""
    given = overrides(args, PARAMETERS)
    return run(args.ros_args, lambda context: Watchdog(given, context=context), finish=Watchdog.finish)


class Watchdog(ros.Node):
    """Holds a robot whose policy fell silent."""

    def __init__(self, overrides: list | None = None, **options) -> None:
        super().__init__("watchdog", parameter_overrides=overrides or [], **options)
        for name, (default, text) in PARAMETERS.items():
            self.declare_parameter(name, default, ros.ParameterDescriptor(description=text, read_only=True))
        self.spec = spec = self._contract()
        patience = self._value("patience") or max(LEAST, 3 / spec.rate)
        self._watch, self._takeover = Watch(round(patience * 1e9)), Takeover()
        self._link, self._sent = RobotLink(self, spec), np.full(len(spec.dimensions), np.nan)
        self._held: np.ndarray | None = None  # where the robot is held, while it is
        self._listen("qtx_ros/msg/Decision", f"{self._value('policy')}/decision", self._on_decision)
        hear_any(self, spec.intervention.type, spec.intervention.topic, self._on_intervention)
        for stream in spec.commands:
            self._listen(stream.type, stream.topic, lambda msg, stream=stream: self._on_command(stream, msg))
        self.create_timer(1 / spec.rate, self._on_tick, clock=ros.steady_clock())
        self.get_logger().info(f"watches {self._value('policy')}: silence after a motion may last {patience:g} s")

    def finish(self) -> None:
        """The process ends: a robot that nobody holds is told to stay once more."""
        self._on_tick()

    def _value(self, name: str):
        return self.get_parameter(name).value

    def _contract(self) -> Spec:
        if self._value("robot"):
            return Spec.load(self._value("robot"))
        if not self._value("bundle"):
            raise QtxError("neither robot nor bundle is given: the watchdog needs the contract of the robot it holds")
        return load_bundle(bundle_folder(self._value("bundle"))).manifest.spec

    def _listen(self, type: str, topic: str, callback) -> None:
        self.create_subscription(ros.message(type), topic, callback, ros.QoSProfile(depth=10))

    def _on_decision(self, msg) -> None:
        self._watch.decided(msg.hold, time.monotonic_ns())
        if self._held is not None:
            self._held = None
            self.get_logger().warning("the policy is back")

    def _on_intervention(self, msg) -> None:
        self._takeover.hear(bool(msg.data), time.monotonic_ns())

    def _on_command(self, stream, msg) -> None:
        """Remember what the robot was told: absolute dimensions are held there."""
        if self._held is None:
            try:
                self._sent = messages.commanded(self.spec, self._sent, stream, msg)
            except QtxError as error:
                self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        reason = self._watch.reason(now)
        if not reason or self._takeover.human(now):
            self._held = None
            return
        if self._held is None:
            state = self._link.state()
            unknown = np.full(len(self.spec.state_names), np.nan)
            self._held = safety.hold(self.spec, unknown if state is None else state, self._sent)
            self.get_logger().error(f"holding the robot: {reason}")
        self._link.send(self._held)
