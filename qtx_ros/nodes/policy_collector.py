"""A policy that collects over ROS topics: its node and a director beside a running robot and recorder."""

from __future__ import annotations

import queue
import threading
from typing import Any

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.director import Director
from qtx_ros.nodes.outcome import Outcome
from qtx_ros.nodes.policy import THREADS
from qtx_ros.nodes.policy_node import PolicyNode
from qtx_ros.spec import Spec

PATIENCE = 1.0  # [s] in which a policy node that runs already shows itself


class PolicyCollector:
    """Collects as `qtx_ros.nodes.collect.Collector` does, but a policy node drives; every episode is kept."""

    def __init__(
        self, spec: Spec, parameters: dict[str, Any], timeout: float, signals: queue.SimpleQueue, context: ros.Context
    ) -> None:
        """`parameters`: of the policy node; `timeout` [s]: for robot and recorder to appear.

        Once there is one in `signals`, `episode` raises KeyboardInterrupt.
        """
        self._rate, self._signals = spec.rate, signals
        self._director = Director(spec, context=context)
        if self._director.policy_runs(PATIENCE):
            raise QtxError("a policy node is running already, end it first: collecting with --policy brings its own")
        given = [ros.Parameter(name, value=value) for name, value in parameters.items()]
        self._node = PolicyNode(parameter_overrides=given, context=context)
        self._executor = ros.MultiThreadedExecutor(num_threads=THREADS + 1, context=context)
        for node in (self._node, self._director):
            self._executor.add_node(node)
        threading.Thread(target=self._spin, daemon=True).start()
        self._director.wait_for_peers(timeout, self._check)
        self._node.trigger_configure()
        if self._node.error:
            raise QtxError(self._node.error)

    def episode(self, task: str, mix: str, seed: int, horizon: int, keep_all: bool) -> Outcome:
        """One episode: reset, record, let the policy drive for `horizon` ticks at most, label. `mix` means nothing."""
        played = self._director.play(task, seed, horizon / self._rate, self._check)
        label = "success" if played.success else "failure"
        return Outcome(seed, label, len(played.decisions), True, str(played.bag))

    def finish(self) -> None:
        """Hold the robot, and discard an episode that was not completed."""
        self._node.halt("collecting ends")
        self._director.abandon("collecting was interrupted")

    def destroy_node(self) -> None:
        """End both nodes."""
        self._executor.shutdown()
        for node in (self._node, self._director):
            node.destroy_node()

    def _check(self) -> None:
        if not self._signals.empty():
            raise KeyboardInterrupt

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ros.ExternalShutdownException:
            pass
