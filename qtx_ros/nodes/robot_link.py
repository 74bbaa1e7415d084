"""A robot as its contract describes it, seen from a node that drives it: measured state in, commands out."""

from __future__ import annotations

import time

import numpy as np

from qtx_ros import ros
from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import command_messages
from qtx_ros.spec import Spec, StateStream

RECENT = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
NEWEST = ros.QoSProfile(depth=1)


class RobotLink:
    """Subscribes to every state topic of a contract and publishes on its command topics."""

    def __init__(self, node: ros.Node, spec: Spec) -> None:
        self._node, self.spec = node, spec
        self._latest: dict[str, tuple[float, np.ndarray]] = {}  # topic → time received [s], values
        for stream in spec.states:
            node.create_subscription(
                ros.message(stream.type), stream.topic, lambda msg, s=stream: self._on_state(s, msg), RECENT
            )
        self._publishers = [
            node.create_publisher(ros.message(stream.type), stream.topic, NEWEST) for stream in spec.commands
        ]

    def _on_state(self, stream: StateStream, msg) -> None:
        try:
            self._latest[stream.topic] = time.monotonic(), messages.state(stream, msg)
        except QtxError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def state(self, max_age: float = 0.5) -> np.ndarray | None:
        """Measured state, float64 [S]; None while a topic is silent for longer than `max_age` [s]."""
        oldest = time.monotonic() - max_age
        rows = [self._latest.get(stream.topic, (-np.inf, None)) for stream in self.spec.states]
        if any(received < oldest for received, _ in rows):
            return None
        return np.concatenate([values for _, values in rows]) if rows else np.zeros(0)

    def send(self, command: np.ndarray) -> None:
        """Publish an absolute command, float [D] in the order of `spec.dimensions`, to be reached within one period.

        A topic with a value that is not finite (unknown) gets nothing.
        """
        now = self._node.get_clock().now().nanoseconds
        for publisher, msg in zip(self._publishers, command_messages(self.spec, command, now), strict=True):
            if msg is not None:
                publisher.publish(msg)
