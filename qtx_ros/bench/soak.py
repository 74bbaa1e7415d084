"""`qtx bench soak`: policy and watchdog drive a scripted robot for long; memory, files, threads and missed ticks.

Every twenty seconds the camera goes black for a moment, so that holds and new beginnings are part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qtx_ros.bench.rig import Heard, Process, Rig
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import time_ns

FLAT = 5.0  # [MB] of growth that counts as flat
FAULT_EVERY, FAULT_SECONDS = 20, 1  # [s]
PAGE = os.sysconf("SC_PAGE_SIZE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds before memory counts (60)")
    parser.add_argument("--bundle", default="sawyer_sim", help="of the policy (sawyer_sim)")
    parser.add_argument("--no-faults", action="store_true", help="let the camera always work")


def main(args: argparse.Namespace) -> int:
    """Exit status 1 if a process grew by 5 MB or more after the warm-up, or gained files or threads."""
    seconds = round(args.minutes * 60)
    if seconds <= args.warm_up + 2:
        raise QtxError(f"--minutes is {args.minutes:g}, expected more than the warm-up of {args.warm_up:g} s")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    with tempfile.TemporaryDirectory(prefix="bench_soak_") as folder:
        with Rig(Path(folder), args.bundle, "sawyer_sim") as rig:
            soak = _soak(rig, seconds, not args.no_faults)
    return _conclude(soak, args.warm_up)


@dataclass(frozen=True)
class Sample:
    """One process at one moment."""

    seconds: float
    memory: float  # [MB] resident
    files: int
    threads: int


class Soak:
    """What was seen: samples of each process, and the ticks."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {"policy": [], "watchdog": []}
        self.ticks: list[int] = []  # [ns]
        self.latencies: list[float] = []  # [ms] camera stamp to published command, of motions
        self.holds = 0

    def take(self, decisions: list[Heard]) -> None:
        """Count decisions."""
        for decision in decisions:
            self.ticks.append(time_ns(decision.msg.header.stamp))
            self.holds += decision.hold
            if not decision.hold:
                self.latencies.append((time_ns(decision.msg.published) - time_ns(decision.msg.camera_stamp)) / 1e6)


def _soak(rig: Rig, seconds: int, faults: bool) -> Soak:
    soak, begin = Soak(), time.monotonic()
    rig.ears.decisions.clear()
    for second in range(1, seconds + 1):
        if faults and second % FAULT_EVERY in (0, FAULT_SECONDS) and second > FAULT_SECONDS:
            rig.robot.ask({"fault": "" if second % FAULT_EVERY else "camera black"})
        time.sleep(max(0.0, begin + second - time.monotonic()))
        for process in (rig.policy, rig.watchdog):
            process.check()
            soak.samples[process.name].append(look(process, time.monotonic() - begin))
        heard = len(rig.ears.decisions)
        soak.take(rig.ears.decisions[:heard])
        del rig.ears.decisions[:heard]
        rig.ears.commands.clear()
        if second % 60 == 0:
            print(_line(second, soak), flush=True)
    return soak


def look(process: Process, seconds: float) -> Sample:
    """Memory, open files and threads of a process now (Linux)."""
    folder = Path(f"/proc/{process.pid}")
    memory = int((folder / "statm").read_text().split()[1]) * PAGE / 1e6
    return Sample(seconds, memory, len(os.listdir(folder / "fd")), len(os.listdir(folder / "task")))


def _line(second: int, soak: Soak) -> str:
    policy, watchdog = (samples[-1] for samples in soak.samples.values())
    return (
        f"{second // 60:4d} min  policy {policy.memory:7.2f} MB {policy.files:3d} files {policy.threads:3d} threads  "
        f"watchdog {watchdog.memory:7.2f} MB  {len(soak.ticks):6d} ticks  {missed(soak.ticks, 50_000_000):4d} missed"
    )


def missed(ticks: list[int], period_ns: int) -> int:
    """Whole periods without a tick."""
    return int(np.maximum(np.rint(np.diff(ticks) / period_ns) - 1, 0).sum()) if len(ticks) > 1 else 0


@dataclass(frozen=True)
class Growth:
    """What a process gained after the warm-up."""

    warm: float  # [MB]
    end: float  # [MB]
    slope: float  # [MB/h] least squares
    files: int
    threads: int

    @property
    def flat(self) -> bool:
        """Whether it stays as it is."""
        return self.end - self.warm < FLAT and self.files <= 0 and self.threads <= 0


def growth(samples: list[Sample], warm_up: float) -> Growth:
    """From the tenth part that follows the warm-up to the last tenth: medians, so that one moment does not decide."""
    late = [sample for sample in samples if sample.seconds > warm_up]
    some = max(1, len(late) // 10)
    first, last = late[:some], late[-some:]
    times, memory = (np.array([getattr(sample, name) for sample in late]) for name in ("seconds", "memory"))
    slope = float(np.polyfit(times, memory, 1)[0]) * 3600 if len(late) > 1 else 0.0

    def gained(name: str) -> int:
        return round(np.median([getattr(s, name) for s in last]) - np.median([getattr(s, name) for s in first]))

    warm, end = (float(np.median([sample.memory for sample in part])) for part in (first, last))
    return Growth(warm, end, slope, gained("files"), gained("threads"))


def _conclude(soak: Soak, warm_up: float) -> int:
    from qtx_ros import ros

    grown = {name: growth(samples, warm_up) for name, samples in soak.samples.items()}
    for name, one in grown.items():
        print(f"{name}: {one.warm:.2f} MB after the warm-up, {one.end - one.warm:+.2f} MB at the end, "
              f"slope {one.slope:+.2f} MB/h, files {one.files:+d}, threads {one.threads:+d}")  # fmt: skip
    p50, p99, worst = (float(np.percentile(soak.latencies, share)) for share in (50, 99, 100))
    lost = missed(soak.ticks, 50_000_000)
    print(f"{len(soak.ticks)} ticks, {lost} missed, {soak.holds} holds; camera to command p50 {p50:.1f}, "
          f"p99 {p99:.1f}, max {worst:.1f} ms")  # fmt: skip
    figures = {name: asdict(one) | {"growth_mb": one.end - one.warm} for name, one in grown.items()}
    seconds = soak.samples["policy"][-1].seconds
    ticks = {"ticks": len(soak.ticks), "missed": lost, "holds": soak.holds}
    latency = {"p50_ms": p50, "p99_ms": p99, "max_ms": worst}
    print(json.dumps({"benchmark": "soak", "backend": ros.BACKEND, "seconds": seconds, **figures, **ticks, **latency}))
    return int(not all(one.flat for one in grown.values()))
