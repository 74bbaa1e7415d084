"""What a lifecycle node connects when it is configured, and lets go of when it is cleaned up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtx_ros import ros
from qtx_ros.nodes.any_publisher import hear_any


class Connections:
    """Makes subscriptions, publishers and timers of a node and remembers them."""

    def __init__(self, node: ros.Node, group: Any) -> None:
        """`group`: the callback group of subscriptions that name none."""
        self._node, self._group = node, group
        self._made: list[tuple[Callable, Any]] = []  # how to destroy it, what

    def __bool__(self) -> bool:
        """Whether anything is connected."""
        return bool(self._made)

    def listen(self, type: str, topic: str, callback: Callable, qos: Any, group: Any = None) -> None:
        """Subscribe."""
        made = self._node.create_subscription(
            ros.message(type), topic, callback, qos, callback_group=group or self._group
        )
        self._made.append((self._node.destroy_subscription, made))

    def listen_to_any(self, type: str, topic: str, callback: Callable) -> None:
        """Subscribe whatever the publishers' quality of service; `callback` may get a message more than once."""
        made = hear_any(self._node, type, topic, callback, self._group)
        self._made.extend((self._node.destroy_subscription, each) for each in made)

    def publisher(self, type: str, topic: str, qos: Any) -> Any:
        """Advertise."""
        made = self._node.create_publisher(ros.message(type), topic, qos)
        self._made.append((self._node.destroy_publisher, made))
        return made

    def timer(self, period: float, callback: Callable, group: Any) -> None:
        """Call every `period` [s]: of the simulated clock if there is one, else of a steady one that nobody sets."""
        simulated = self._node.get_parameter("use_sim_time").value
        clock = None if simulated else ros.steady_clock()
        made = self._node.create_timer(period, callback, callback_group=group, clock=clock)
        self._made.append((self._node.destroy_timer, made))

    def close(self) -> None:
        """Let go of everything."""
        for destroy, made in self._made:
            destroy(made)
        self._made.clear()
