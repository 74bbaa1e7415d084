"""Timers on any clock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from qtx_ros.ros.dds.callback_groups import CallbackGroup
from qtx_ros.ros.dds.time import SECOND, Clock


class Timer:
    """Calls back every `timer_period_ns` of its clock; periods missed are skipped, as in rcl."""

    def __init__(
        self, callback: Callable[[], None], callback_group: CallbackGroup, timer_period_ns: int, clock: Clock
    ) -> None:
        self.callback, self.callback_group, self.clock = callback, callback_group, clock
        self._period, self._lock = int(timer_period_ns), threading.Lock()
        self._cancelled = False
        self.reset()

    @property
    def timer_period_ns(self) -> int:
        return self._period

    @timer_period_ns.setter
    def timer_period_ns(self, value: int) -> None:
        self._period = int(value)

    def reset(self) -> None:
        """Start a whole period now; a cancelled timer runs again."""
        self._last = self.clock.now().nanoseconds
        self._next = self._last + self._period
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def is_canceled(self) -> bool:
        return self._cancelled

    def is_ready(self) -> bool:
        return not self._cancelled and self.time_until_next_call() <= 0

    def time_since_last_call(self) -> int:
        """[ns]"""
        return self.clock.now().nanoseconds - self._last

    def time_until_next_call(self) -> int | None:
        """[ns]; None when cancelled."""
        if self._cancelled:
            return None
        now = self.clock.now().nanoseconds
        if now < self._last:  # the clock jumped back
            self._last, self._next = now, now + self._period
        return self._next - now

    def seconds_until_due(self) -> float | None:
        """Wall time to wait at most [s]; None when only a clock message or nothing can make it due."""
        left = self.time_until_next_call()
        if left is None or (left > 0 and self.clock.ros_time_is_active):
            return None
        return left / SECOND

    def take(self) -> Callable[[], None] | None:
        """The callback, if due; moves on to the next period."""
        with self._lock:
            if not self.is_ready():
                return None
            now = self.clock.now().nanoseconds
            self._last = now
            self._next += self._period
            if self._next < now:
                behind = now - self._next
                self._next = now if not self._period else self._next + (1 + behind // self._period) * self._period
            return self.callback


class Rate:
    """Sleeps to keep a loop at its rate; some other thread must spin when time is simulated."""

    def __init__(self, period_ns: int, clock: Clock, context) -> None:
        self._period, self._clock, self._context = period_ns, clock, context
        self._next = clock.now().nanoseconds + period_ns

    def sleep(self) -> None:
        """Sleep until the next period begins."""
        now = self._clock.now()
        left = self._next - now.nanoseconds
        if left > 0:
            from qtx_ros.ros.dds.time import Duration

            self._clock.sleep_until(now + Duration(nanoseconds=left), self._context)
        self._next = max(self._next, self._clock.now().nanoseconds - self._period) + self._period
