"""Keeping a simulation in step with a clock."""

from __future__ import annotations


class Pacer:
    """Says how many steps are due. A little lateness is made up for; what is more is given up.

    Making up for much would squeeze camera frames together, and whoever answers each of them would be rushed.
    """

    def __init__(self, period_ns: int, now_ns: int, at_once: int = 2, max_behind_ns: int = 20_000_000) -> None:
        """At most `at_once` steps per call; what is then further behind than `max_behind_ns` is dropped."""
        self._period, self._at_once, self._max_behind = period_ns, at_once, max_behind_ns
        self.restart(now_ns)

    def restart(self, now_ns: int) -> None:
        """Begin anew: nothing is due."""
        self._next = now_ns + self._period

    def due(self, now_ns: int) -> tuple[int, int]:
        """Steps to take now, and the time given up [ns], 0 where the simulation keeps up."""
        steps = 0
        while steps < self._at_once and self._next <= now_ns:
            self._next += self._period
            steps += 1
        behind = now_ns - self._next
        if behind <= self._max_behind:
            return steps, 0
        self._next = now_ns
        return steps, behind
