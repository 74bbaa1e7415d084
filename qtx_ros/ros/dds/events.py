"""What a subscription is told beside messages: how many were lost before they arrived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtx_ros.ros.dds.callback_groups import CallbackGroup
from qtx_ros.ros.dds.guard_condition import GuardCondition


@dataclass(frozen=True)
class QoSMessageLostInfo:
    """Messages lost since the subscription began, and since the last such information."""

    total_count: int
    total_count_change: int


@dataclass(frozen=True)
class SubscriptionEventCallbacks:
    """rclpy's, of which two are offered: `message_lost(QoSMessageLostInfo)`, and a warning that can be left out."""

    message_lost: Callable[[QoSMessageLostInfo], None] | None = None
    use_default_callbacks: bool = True  # warn of a publisher whose quality of service does not match


class MessageLostEvent(GuardCondition):
    """Runs `callback(QoSMessageLostInfo)` in the executor when `report` was called by another thread."""

    def __init__(self, node, callback: Callable[[QoSMessageLostInfo], None], callback_group: CallbackGroup) -> None:
        super().__init__(node, self._tell, callback_group)
        self._told, self._total, self._callback = 0, 0, callback

    def report(self, total: int) -> None:
        """So many messages are lost by now."""
        self._total = total
        self.trigger()

    def _tell(self) -> None:
        total = self._total
        change, self._told = total - self._told, total
        if change > 0:
            self._callback(QoSMessageLostInfo(total, change))
