"""The time of a recording: whatever is done to the system's clock, an episode's messages stay in their order."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_NS = 50_000_000  # smaller steps change no age by more than the age limits of states allow
TORN_NS = 1_000_000  # readings of two clocks that lie further apart are repeated


class RecordingClock:
    """Receive times of messages and marks [ns].

    Between episodes it is the node's time. An episode begins with it and goes on with the steady clock, which nobody
    sets. Stamps of the robot follow a clock that is set, so ages are wrong from then on, either way: `problem` says so.
    Simulated time is followed as it comes; there it is a problem when it goes back.
    """

    def __init__(
        self,
        node_time: Callable[[], int],
        recording: Callable[[], bool],
        simulated: bool = False,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`node_time()` and `steady()` [ns]; `recording()`: whether an episode runs."""
        self._node_time, self._recording, self._simulated, self._steady = node_time, recording, simulated, steady
        self._ahead = 0  # the node's time minus the steady one when the episode began
        self._newest = 0  # of simulated time
        self._step = 0  # the largest by which the clock was set in this episode

    def now(self) -> int:
        """The present [ns]."""
        between = not self._recording()
        if between:
            self._newest, self._step = 0, 0
        if self._simulated:
            return self._follow(self._node_time())
        if between:
            self._ahead = self._difference()
        return self._steady() + self._ahead

    def problem(self) -> str:
        """A sentence if the clock was set since the episode began, else empty."""
        self.now()
        if not self._simulated and self._recording():
            self._note(self._difference() - self._ahead)
        if abs(self._step) < STEP_NS:
            return ""
        side = "back" if self._step < 0 else "ahead"
        return f"the clock was set {side} by {abs(self._step) / 1e9:.3f} s"

    def _follow(self, now: int) -> int:
        self._note(min(now - self._newest, 0))
        self._newest = max(self._newest, now)
        return now

    def _note(self, step: int) -> None:
        self._step = max(self._step, step, key=abs)

    def _difference(self) -> int:
        """The node's time minus the steady one [ns]: the best of some readings, as a process may pause in one."""
        readings = []
        while len(readings) < 5:
            before, node, after = self._steady(), self._node_time(), self._steady()
            readings.append((after - before, node - (before + after) // 2))
            if after - before < TORN_NS:
                break
        return min(readings)[1]
