"""The topic `emergency_stop`, as every node that drives a robot hears it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtx_ros import ros
from qtx_ros.nodes.any_publisher import hear_any, unheard

TOPIC, TYPE = "emergency_stop", "std_msgs/msg/Bool"
LOOK = 1.0  # [s] between two looks for publishers that cannot be heard


class EmergencyStop:
    """`pressed`: the topic's last word. A publisher that cannot be heard is an error in the log."""

    def __init__(self, node: ros.Node, changed: Callable[[bool], None], group: Any = None) -> None:
        """`changed(pressed)` is called when the last word is another than before; before the first one it is false."""
        self.pressed = False
        self._node, self._changed, self._said = node, changed, ""
        hear_any(node, TYPE, TOPIC, self._hear, group)
        node.create_timer(LOOK, self._look, callback_group=group, clock=ros.steady_clock())

    def _hear(self, msg: Any) -> None:
        before, self.pressed = self.pressed, bool(msg.data)
        if self.pressed != before:
            self._changed(self.pressed)

    def _look(self) -> None:
        before, self._said = self._said, unheard(self._node, TYPE, TOPIC)
        if self._said and self._said != before:
            self._node.get_logger().error(self._said)
