"""Starting, stopping and labelling recordings from a teleop node, by topic."""

from __future__ import annotations

from qtx_ros import ros

ACTIONS = ("start", "success", "failure", "discard")  # the last three stop the recording with that label


class EpisodeKeys:
    """Publishes qtx_ros/EpisodeCommand, which the recorder obeys."""

    def __init__(self, node: ros.Node) -> None:
        self._node, self._type = node, ros.message("qtx_ros/msg/EpisodeCommand")
        self._publisher = node.create_publisher(self._type, "episode/command", 10)

    def send(self, action: str) -> None:
        """`action`: one of `ACTIONS`."""
        command = self._type.START if action == "start" else self._type.STOP
        msg = self._type(command=command, label="" if action == "start" else action)
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)
        self._node.get_logger().info("recording" if action == "start" else f"stopped: {action}")
