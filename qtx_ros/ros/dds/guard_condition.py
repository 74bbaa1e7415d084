"""Guard conditions: run a callback in the executor when another thread says so."""

from __future__ import annotations

from collections.abc import Callable

from qtx_ros.ros.dds.callback_groups import CallbackGroup
from qtx_ros.ros.dds.endpoints import Guard


class GuardCondition:
    """Triggered from any thread, its callback runs in the executor."""

    def __init__(self, node, callback: Callable[[], None], callback_group: CallbackGroup) -> None:
        self.callback, self.callback_group = callback, callback_group
        self._guard = Guard(node.participant.entity)
        self.condition = self._guard.entity

    def trigger(self) -> None:
        self._guard.trigger()

    def take(self) -> Callable[[], None] | None:
        self._guard.reset()
        return self.callback

    def destroy(self) -> None:
        self._guard.close()
