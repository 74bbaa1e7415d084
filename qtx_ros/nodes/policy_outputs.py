"""What the policy node sends: commands, its decisions, its diagnostics."""

from __future__ import annotations

import dataclasses

import numpy as np

from qtx_ros import ros
from qtx_ros.data.align import Observation
from qtx_ros.deploy.health import Health
from qtx_ros.deploy.pilot import Command
from qtx_ros.deploy.stages import budget
from qtx_ros.nodes import policy_messages as messages
from qtx_ros.nodes.connections import Connections
from qtx_ros.nodes.fields import command_messages
from qtx_ros.nodes.policy_plots import Plots
from qtx_ros.nodes.policy_topics import COMMAND
from qtx_ros.spec import Spec

RELIABLE = ros.QoSProfile(depth=10)


class Outputs:
    """The publishers of a configured policy node."""

    def __init__(self, node: ros.Node, spec: Spec, health: Health, to: Connections, plots: bool = False) -> None:
        self._node, self._spec, self._health = node, spec, health
        self._commands = [to.publisher(stream.type, stream.topic, COMMAND) for stream in spec.commands]
        self._decisions = to.publisher("qtx_ros/msg/Decision", "~/decision", RELIABLE)
        self._diagnostics = to.publisher("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics", RELIABLE)
        self._plots = Plots(spec, to) if plots else None

    def send(self, values: np.ndarray) -> None:
        """Send absolute commands, float64 [D]. A topic with an unknown value (NaN) gets nothing."""
        for publisher, msg in zip(self._commands, command_messages(self._spec, values, self._now()), strict=True):
            if msg is not None:
                publisher.publish(msg)

    def tell(self, command: Command, tick_ns: int, observation: Observation | None, laps: dict[str, int]) -> bool:
        """Publish the decision behind a command just sent, and note it; true when a hold began or ended."""
        published = self._now()
        stamp, received = messages.newest_frame(self._spec, observation)
        spent = budget(stamp, received, tick_ns, laps)
        self._decisions.publish(messages.decision(self._spec, command, tick_ns, published, observation, spent))
        if self._plots:
            self._plots.publish(command, tick_ns)
        if command.choice is None:
            return self._health.held(command.reason)
        return self._health.decided(published - stamp if stamp else None, spent)

    def diagnose(self, active: bool, why: str) -> None:
        """Publish the node's health; `why`: what the ROS graph knows of inputs that cannot arrive."""
        report = self._health.report(active)
        report = dataclasses.replace(report, message="; ".join(filter(None, (report.message, why))))
        self._diagnostics.publish(messages.diagnostics(self._node.get_fully_qualified_name(), report, self._now()))

    def log(self, problem: str) -> None:
        """Say what went wrong, at most once a second."""
        self._node.get_logger().error(problem, throttle_duration_sec=1.0)

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds
