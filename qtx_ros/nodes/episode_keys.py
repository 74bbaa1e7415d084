"""Starting, stopping and labelling recordings from a teleop node, by topic, and telling what came of it."""

from __future__ import annotations

import time
from typing import Any

from qtx_ros import ros

ACTIONS = ("start", "success", "failure", "discard")  # the last three stop the recording with that label
COMMANDS, EVENTS = "episode/command", "episode/event"
PATIENCE = 1.0  # [s] for the recorder to do what it was asked


class EpisodeKeys:
    """Publishes qtx_ros/EpisodeCommand; logs the EpisodeEvent with which the recorder answers, or that none came."""

    def __init__(self, node: ros.Node) -> None:
        self._node, self._type = node, ros.message("qtx_ros/msg/EpisodeCommand")
        self._waiting: dict[int, tuple[str, float]] = {}  # awaited event → the action, when patience ends [s]
        self._publisher = node.create_publisher(self._type, COMMANDS, 10)
        node.create_subscription(ros.message("qtx_ros/msg/EpisodeEvent"), EVENTS, self._on_event, 10)
        node.create_timer(PATIENCE / 10, self._look, clock=ros.steady_clock())

    def send(self, action: str) -> None:
        """`action`: one of `ACTIONS`."""
        command = self._type.START if action == "start" else self._type.STOP
        msg = self._type(command=command, label="" if action == "start" else action)
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._waiting[command] = action, time.monotonic() + PATIENCE  # events have the numbers of commands
        self._publisher.publish(msg)

    def _on_event(self, msg: Any) -> None:
        self._waiting.pop(msg.event, None)
        log, what = self._node.get_logger(), f"episode {msg.episode}"
        if msg.event == msg.START:
            log.info(f"{what} is recorded: {msg.instruction!r}")
        elif msg.event == msg.LABEL:
            log.info(f"{what} is labelled: {msg.label}")
        else:
            log.info(f"{what} is stopped: {msg.label or 'no label'}")
            if msg.problems:
                log.warning(f"{what} is not accepted: {'; '.join(msg.problems)}")

    def _look(self) -> None:
        now = time.monotonic()
        for event, (action, end) in list(self._waiting.items()):
            if now > end:
                del self._waiting[event]
                self._node.get_logger().error(f"no recorder answered {action!r} within {PATIENCE:g} s: {self._why()}")

    def _why(self) -> str:
        topic = self._node.resolve_topic_name(COMMANDS)
        if self._publisher.get_subscription_count():
            return f"what listens on {topic} did not do it, the recorder's own log says why"
        return f"nobody listens on {topic}, so nothing is recorded; run `qtx record` there and press again"
