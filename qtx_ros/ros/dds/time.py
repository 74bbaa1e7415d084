"""Clocks, times and durations with rclpy's arithmetic."""

from __future__ import annotations

import threading
import time as system
from collections.abc import Callable
from enum import IntEnum
from functools import total_ordering

from qtx_ros.ros.messages import message

SECOND = 10**9  # [ns]


class ClockType(IntEnum):
    UNINITIALIZED = 0
    ROS_TIME = 1
    SYSTEM_TIME = 2
    STEADY_TIME = 3


@total_ordering
class Duration:
    """A signed time span in nanoseconds."""

    def __init__(self, *, seconds: float = 0, nanoseconds: int = 0) -> None:
        whole = int(seconds * SECOND) if isinstance(seconds, float) else seconds * SECOND
        self.nanoseconds: int = int(whole + nanoseconds)

    def to_msg(self):
        """builtin_interfaces/msg/Duration."""
        sec, nanosec = divmod(self.nanoseconds, SECOND)
        return message("builtin_interfaces/msg/Duration")(sec=sec, nanosec=nanosec)

    @classmethod
    def from_msg(cls, msg) -> Duration:
        return cls(seconds=msg.sec, nanoseconds=msg.nanosec)

    def __eq__(self, other: object) -> bool:
        return self.nanoseconds == other.nanoseconds if isinstance(other, Duration) else NotImplemented

    def __lt__(self, other: Duration) -> bool:
        return self.nanoseconds < other.nanoseconds if isinstance(other, Duration) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __add__(self, other: Duration) -> Duration:
        if not isinstance(other, Duration):
            return NotImplemented
        return Duration(nanoseconds=self.nanoseconds + other.nanoseconds)

    def __sub__(self, other: Duration) -> Duration:
        if not isinstance(other, Duration):
            return NotImplemented
        return Duration(nanoseconds=self.nanoseconds - other.nanoseconds)

    def __mul__(self, factor: float) -> Duration:
        return Duration(nanoseconds=int(self.nanoseconds * factor))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Duration(nanoseconds={self.nanoseconds})"


@total_ordering
class Time:
    """A point in time of one clock, in nanoseconds."""

    def __init__(
        self, *, seconds: float = 0, nanoseconds: int = 0, clock_type: ClockType = ClockType.SYSTEM_TIME
    ) -> None:
        if seconds < 0 or nanoseconds < 0:
            raise ValueError(f"time is {seconds} s + {nanoseconds} ns, expected no negative part")
        whole = int(seconds * SECOND) if isinstance(seconds, float) else seconds * SECOND
        self.nanoseconds: int = int(whole + nanoseconds)
        self.clock_type = clock_type

    def seconds_nanoseconds(self) -> tuple[int, int]:
        return divmod(self.nanoseconds, SECOND)

    def to_msg(self):
        """builtin_interfaces/msg/Time."""
        sec, nanosec = self.seconds_nanoseconds()
        return message("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)

    @classmethod
    def from_msg(cls, msg, clock_type: ClockType = ClockType.ROS_TIME) -> Time:
        return cls(seconds=msg.sec, nanoseconds=msg.nanosec, clock_type=clock_type)

    def _same_clock(self, other: Time) -> int:
        if self.clock_type != other.clock_type:
            raise TypeError(f"cannot compare {self.clock_type.name} with {other.clock_type.name}")
        return other.nanoseconds

    def __eq__(self, other: object) -> bool:
        return self.nanoseconds == self._same_clock(other) if isinstance(other, Time) else NotImplemented

    def __lt__(self, other: Time) -> bool:
        return self.nanoseconds < self._same_clock(other) if isinstance(other, Time) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.nanoseconds, self.clock_type))

    def __add__(self, other: Duration) -> Time:
        if not isinstance(other, Duration):
            return NotImplemented
        return Time(nanoseconds=self.nanoseconds + other.nanoseconds, clock_type=self.clock_type)

    __radd__ = __add__

    def __sub__(self, other: Time | Duration) -> Time | Duration:
        if isinstance(other, Time):
            return Duration(nanoseconds=self.nanoseconds - self._same_clock(other))
        if isinstance(other, Duration):
            return Time(nanoseconds=self.nanoseconds - other.nanoseconds, clock_type=self.clock_type)
        return NotImplemented

    def __repr__(self) -> str:
        return f"Time(nanoseconds={self.nanoseconds}, clock_type={self.clock_type.name})"


class Clock:
    """A clock; a ROS-time clock follows `/clock` once simulated time is switched on, the system time before."""

    def __init__(self, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> None:
        self.clock_type = clock_type
        self._simulated_ns: int | None = None
        self._changed = threading.Condition()
        self._listeners: list[Callable[[], None]] = []

    @property
    def ros_time_is_active(self) -> bool:
        return self._simulated_ns is not None

    def now(self) -> Time:
        if self._simulated_ns is not None:
            return Time(nanoseconds=self._simulated_ns, clock_type=self.clock_type)
        steady = self.clock_type == ClockType.STEADY_TIME
        return Time(nanoseconds=system.monotonic_ns() if steady else system.time_ns(), clock_type=self.clock_type)

    def set_simulated(self, nanoseconds: int | None) -> None:
        """Set the simulated time [ns], or None to follow the system time again."""
        with self._changed:
            self._simulated_ns = nanoseconds
            self._changed.notify_all()
        for listener in list(self._listeners):
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every step of the simulated time."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def sleep_until(self, until: Time, context=None) -> bool:
        """Sleep until this clock shows `until`; False if the context was shut down first."""
        from qtx_ros.ros.dds.context import get_default_context

        context = context or get_default_context()
        while context.ok():
            left = (until - self.now()).nanoseconds / SECOND
            if left <= 0:
                return True
            with self._changed:
                self._changed.wait(min(left, 0.1) if not self.ros_time_is_active else 0.1)
        return False

    def sleep_for(self, duration: Duration, context=None) -> bool:
        """Sleep for `duration` of this clock; False if the context was shut down first."""
        return self.sleep_until(self.now() + duration, context)


class ROSClock(Clock):
    """rclpy's clock of a node."""

    def __init__(self) -> None:
        super().__init__(clock_type=ClockType.ROS_TIME)
