"""What the policy node says about itself on /diagnostics: counts, rates and latencies as plain numbers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from qtx_ros.deploy.guard import is_fault
from qtx_ros.deploy.stages import STAGES

OK, WARN, ERROR = 0, 1, 2  # levels of diagnostic_msgs/DiagnosticStatus
RECENT = 256  # decisions that rate and latency are measured over


@dataclass(frozen=True)
class Report:
    """One diagnostic status."""

    level: int
    message: str
    values: dict[str, str]


class Health:
    """Counts decisions, holds and missed ticks, and measures camera stamp → published command."""

    def __init__(self, provider: str, period_ns: int) -> None:
        self._provider, self._period = provider, period_ns
        self._ticks: deque[int] = deque(maxlen=RECENT)
        self._latencies: deque[int] = deque(maxlen=RECENT)
        self._spent: deque[dict[str, float]] = deque(maxlen=RECENT)
        self._longest = 0
        self.decisions = self.holds = self.missed = 0
        self.reason = ""

    def tick(self, tick_ns: int) -> None:
        """A tick began. Periods left out since the tick before count as missed."""
        if self._ticks:
            self.missed += max(0, round((tick_ns - self._ticks[-1]) / self._period) - 1)
        self._ticks.append(tick_ns)

    @property
    def last_tick_ns(self) -> int:
        """When the last tick began; 0 without any."""
        return self._ticks[-1] if self._ticks else 0

    def decided(self, latency_ns: int | None, spent: dict[str, float] | None = None) -> bool:
        """The network's choice was published, this long after the stamp of the newest camera frame; `spent`: [ms] in
        each stage.

        True when the robot was holding before.
        """
        resumed = bool(self.reason)
        self.decisions += 1
        self._spent.append(spent or {})
        self.reason = ""
        if latency_ns is not None:
            self._latencies.append(latency_ns)
            self._longest = max(self._longest, latency_ns)
        return resumed

    def held(self, reason: str) -> bool:
        """A hold was published. True when the robot was not holding before."""
        began = not self.reason
        self.holds += 1
        self.reason = reason
        return began

    def pause(self) -> None:
        """Ticking stops for a while: the time until the next tick is nobody's fault."""
        self._ticks.clear()
        self.reason = ""

    def rate(self) -> float:
        """Ticks per second over the recent past [Hz]; 0 when there were none."""
        span = self._ticks[-1] - self._ticks[0] if len(self._ticks) > 1 else 0
        return (len(self._ticks) - 1) * 1e9 / span if span > 0 else 0.0

    def latency_ms(self) -> dict[str, float]:
        """p50, p99 and jitter (p99 − p1) of the recent latencies, and the longest ever [ms]; empty without any."""
        if not self._latencies:
            return {}
        recent = np.array(self._latencies) / 1e6
        low, middle, high = np.percentile(recent, [1, 50, 99])
        return {"p50": middle, "p99": high, "max": self._longest / 1e6, "jitter": high - low}

    def budget_ms(self) -> dict[str, float]:
        """Median of the recent time in each stage from the camera's stamp to the command [ms]."""
        return {stage: float(np.median(times)) for stage in STAGES if (times := self._times(stage))}

    def _times(self, stage: str) -> list[float]:
        return [spent[stage] for spent in self._spent if stage in spent]

    def report(self, active: bool) -> Report:
        """The status now; `active`: the node is meant to drive."""
        level, message = OK, "drives" if active else "not active"
        if active and self.reason:
            level, message = ERROR if is_fault(self.reason) else WARN, f"holds: {self.reason}"
        values = {"provider": self._provider, "tick rate [Hz]": f"{self.rate():.2f}"}
        values |= {f"camera to command {name} [ms]": f"{value:.2f}" for name, value in self.latency_ms().items()}
        values |= {f"of it {stage} p50 [ms]": f"{value:.2f}" for stage, value in self.budget_ms().items()}
        values |= {"decisions": str(self.decisions), "holds": str(self.holds), "missed ticks": str(self.missed)}
        return Report(level, message, values)
