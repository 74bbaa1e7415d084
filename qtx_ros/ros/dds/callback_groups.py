"""Callback groups: which callbacks may run at the same time."""

from __future__ import annotations

import threading


class CallbackGroup:
    """Base; an executor asks `begin` before it runs a callback and tells `end` after it."""

    def can_execute(self, entity) -> bool:
        raise NotImplementedError

    def begin(self, entity) -> bool:
        """Claim the group for this entity; False if it must wait."""
        raise NotImplementedError

    def end(self, entity) -> None:
        raise NotImplementedError


class ReentrantCallbackGroup(CallbackGroup):
    """Any number of callbacks at a time."""

    def can_execute(self, entity) -> bool:
        return True

    def begin(self, entity) -> bool:
        return True

    def end(self, entity) -> None:
        pass


class MutuallyExclusiveCallbackGroup(CallbackGroup):
    """One callback at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = None

    def can_execute(self, entity) -> bool:
        return self._active is None

    def begin(self, entity) -> bool:
        with self._lock:
            if self._active is not None:
                return False
            self._active = entity
            return True

    def end(self, entity) -> None:
        with self._lock:
            self._active = None
