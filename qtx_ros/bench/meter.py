"""What another process uses while it works: CPU time and memory, from /proc."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 30.0  # [s] after which memory is expected to stay as it is, in long runs


@dataclass(frozen=True)
class Usage:
    """Of one process over a time."""

    seconds: float
    core: float  # CPU seconds of all its threads per second
    rss_mib: float  # resident memory at the end
    rss_growth_mib: float  # after the warm-up
    rss_slope_mib_per_min: float  # so, by least squares


class Meter(threading.Thread):
    """Samples a process's memory once a second; CPU time and wall time between `start` and `stop`."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._ended = pid, threading.Event()
        self.samples: list[tuple[float, float]] = []  # [s] since the start, resident [MiB]

    def start(self) -> None:
        self._begin, self._cpu = time.monotonic(), cpu_seconds(self._pid)
        super().start()

    def run(self) -> None:
        while not self._ended.wait(1.0):
            self.samples.append((time.monotonic() - self._begin, resident_mib(self._pid)))

    def stop(self) -> Usage:
        """What the process used."""
        seconds = time.monotonic() - self._begin
        core = round((cpu_seconds(self._pid) - self._cpu) / seconds, 4)
        self._ended.set()
        self.join()
        settled = [sample for sample in self.samples if sample[0] >= min(WARM_UP, seconds / 2)] or self.samples
        (_, first), (_, last) = settled[0], settled[-1]
        return Usage(seconds, core, round(last, 1), round(last - first, 1), round(60 * slope(settled), 3))


def slope(samples: list[tuple[float, float]]) -> float:
    """Least squares slope of (x, y) pairs; 0 for fewer than two."""
    mean_x, mean_y = (sum(values) / len(samples) for values in zip(*samples, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads so far, user and system [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process [MiB]."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0
