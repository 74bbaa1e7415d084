"""`qtx teleop`: drive a robot by keyboard, by joystick, or (the simulated one) by the scripted expert."""

from __future__ import annotations

import argparse
import contextlib

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.joystick import JoyTeleop
from qtx_ros.nodes.keyboard import KeyboardTeleop, help_text
from qtx_ros.nodes.run import run
from qtx_ros.nodes.terminal import Terminal
from qtx_ros.spec import Spec

MODES = ("expert", "keyboard", "joy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, default="keyboard", help="who drives (default keyboard)")
    parser.add_argument("--robot", default="sawyer_sim", help="robot YAML, or the name of a shipped one (sawyer_sim)")
    parser.add_argument("--speed", type=float, default=0.3, help="keyboard, joy: share of the full range (default 0.3)")


def main(args: argparse.Namespace) -> int:
    """Run the node until SIGINT or SIGTERM; a robot that it moves is told to stay where it is."""
    if not 0 < args.speed <= 1:
        raise QtxError(f"speed is {args.speed}, expected more than 0 and at most 1")
    spec = Spec.load(args.robot)
    with Terminal() if args.mode == "keyboard" else contextlib.nullcontext() as terminal:
        return run(args.ros_args, lambda context: _node(args, spec, terminal, context), finish=lambda n: n.finish())


def _node(args: argparse.Namespace, spec: Spec, terminal: Terminal | None, context: ros.Context) -> ros.Node:
    if args.mode == "expert":
        return ExpertTeleop(spec, context=context)
    if args.mode == "joy":
        return JoyTeleop(spec, args.speed, context=context)
    print(help_text(spec), flush=True)
    return KeyboardTeleop(spec, args.speed, terminal.keys, context=context)


class ExpertTeleop(ros.Node):
    """Does whatever the instruction topic says, each time it says it, and rests once the task is done."""

    def __init__(self, spec: Spec, **options) -> None:
        from qtx_ros.nodes.expert_driver import ExpertDriver

        super().__init__("teleop", **options)
        self._driver = ExpertDriver(self, spec)
        latched = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
        instruction, events = spec.instruction, spec.events
        self.create_subscription(ros.message(instruction.type), instruction.topic, self._on_instruction, latched)
        self.create_subscription(ros.message(events.type), events.topic, self._on_event, 10)

    def finish(self) -> None:
        """Let the robot stay where it is."""
        self._driver.halt()

    def _on_instruction(self, msg) -> None:
        try:
            self._driver.drive(msg.data, "expert", seed=0)
            self.get_logger().info(f"driving: {msg.data}")
        except QtxError as error:
            self._driver.pause()
            self.get_logger().warning(str(error))

    def _on_event(self, msg) -> None:
        if msg.success and self._driver.operator is not None:
            self._driver.pause()
            self.get_logger().info(f"done after {self._driver.commands} commands")
