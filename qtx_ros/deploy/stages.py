"""Where the time of a tick goes: one lap for each stage."""

from __future__ import annotations

import time

# From the header stamp of the newest frame to the published command.
STAGES = ("transport", "wait", "pictures", "network", "shape", "publish")


class Stopwatch:
    """Laps since it was made, of a clock that nobody sets."""

    def __init__(self) -> None:
        self._last = time.perf_counter_ns()
        self.laps: dict[str, int] = {}  # stage → [ns]

    def lap(self, stage: str) -> None:
        """A stage ends; the next begins."""
        now = time.perf_counter_ns()
        self.laps[stage] = self.laps.get(stage, 0) + now - self._last
        self._last = now


def budget(stamp_ns: int, received_ns: int, tick_ns: int, laps: dict[str, int]) -> dict[str, float]:
    """Milliseconds of each stage: transport from the frame's stamp to its receipt, wait from there to the tick, then
    the laps. Without a frame there is no transport and no wait.
    """
    spans = {"transport": received_ns - stamp_ns, "wait": tick_ns - received_ns} if stamp_ns and received_ns else {}
    return {stage: span / 1e6 for stage, span in (spans | laps).items()}
