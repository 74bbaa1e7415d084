"""`qtx bench latency`: camera stamp to published command, through the real processes and the real wire."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qtx_ros.deploy.bundle import INSTRUCTION as INSTRUCTION_GRAPH
from qtx_ros.deploy.bundle import TICK, bundle_folder, read_manifest, write_bundle_manifest
from qtx_ros.deploy.stages import STAGES
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import time_ns
from qtx_ros.spec import Spec

WARM_UP = 3.0  # [s] of decisions that do not count
START = 60.0  # [s] for the processes to find each other


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=30.0, help="of decisions that count (default: %(default)s)")
    parser.add_argument("--bundle", default="sawyer_sim", help="bundle folder, or the name of a shipped one")
    parser.add_argument("--rate", type=float, default=10.0, help="of decisions [Hz] (default: %(default)s)")
    parser.add_argument("--camera", type=float, default=30.0, help="of the camera [Hz] (default: %(default)s)")
    parser.add_argument("--image", type=int, nargs=2, default=(480, 640), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--device", default="cpu", help="of the policy (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the latencies and the budget")


def main(args: argparse.Namespace) -> int:
    if not (args.seconds > 0 and args.rate > 0 and args.camera >= args.rate):
        given = f"seconds {args.seconds:g}, rate {args.rate:g}, camera {args.camera:g}"
        raise QtxError(f"{given}: expected more than 0 of each, and a camera at least as fast as the rate")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    with tempfile.TemporaryDirectory() as folder:
        spec = _bundle_at(args.bundle, args.rate, Path(folder))
        decisions = measure(spec, Path(folder), args)
    result = summary(decisions, spec)
    _print(result, args)
    if args.plot:
        draw(decisions, args.plot)
    print(json.dumps({"benchmark": "latency", "rate": args.rate, "camera": args.camera, **result}))
    return 0


def _bundle_at(bundle: str, rate: float, folder: Path) -> Spec:
    """The bundle in a folder, with another rate: the network is the same, only asked more or less often."""
    source = bundle_folder(bundle)
    manifest = read_manifest(source)
    for name in (TICK, INSTRUCTION_GRAPH):
        (folder / name).write_bytes((source / name).read_bytes())
    return write_bundle_manifest(folder, replace(manifest, spec=replace(manifest.spec, rate=rate))).spec


def measure(spec: Spec, bundle: Path, args: argparse.Namespace) -> list[dict]:
    """What the policy said of each of its decisions: `stamp`, `tick`, `published` [ns], `hold`, `stages` [ms]."""
    from qtx_ros import ros

    python, environment = [sys.executable, "-m"], {**os.environ}
    robot = [*python, "qtx_ros.bench.latency_robot", str(bundle), str(args.camera), *map(str, args.image)]
    policy = [*python, "qtx_ros", "policy", "--bundle", str(bundle), "--device", args.device]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    ros.init(args=[])
    node, executor, heard = ros.Node("bench_latency"), ros.SingleThreadedExecutor(), []
    node.create_subscription(
        ros.message("qtx_ros/msg/Decision"), "policy/decision", lambda msg: heard.append(_read(msg)), 100
    )
    executor.add_node(node)
    children = [subprocess.Popen(command, **quiet) for command in (robot, policy)]
    try:
        _spin(executor, START, lambda: any(not decision["hold"] for decision in heard))
        if all(decision["hold"] for decision in heard):
            reason = heard[-1]["reason"] if heard else "the policy is silent"
            raise QtxError(f"no decision came within {START:g} s: {reason}")
        _spin(executor, WARM_UP)
        heard.clear()
        with tqdm(total=round(args.seconds), unit="s", disable=None) as bar:
            for _ in range(round(args.seconds)):
                _spin(executor, 1.0)
                bar.update()
    finally:
        for child in children:
            child.kill()
            child.wait()
        executor.shutdown()
        node.destroy_node()
        ros.try_shutdown()
    return heard


def _read(msg: Any) -> dict:
    times = {"stamp": msg.camera_stamp, "tick": msg.header.stamp, "published": msg.published}
    stages = dict(zip(msg.stages, map(float, msg.stage_ms), strict=True))
    return {**{name: time_ns(t) for name, t in times.items()}, "hold": msg.hold, "reason": msg.reason, "stages": stages}


def _spin(executor: Any, seconds: float, done=lambda: False) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not done():
        executor.spin_once(timeout_sec=min(left, 0.1))


def summary(decisions: list[dict], spec: Spec) -> dict:
    """Latency, jitter, missed ticks, and the median and 99th percentile of each stage [ms]."""
    chosen = [decision for decision in decisions if not decision["hold"]]
    if len(chosen) < 2:
        raise QtxError(f"{len(chosen)} of {len(decisions)} decisions were the network's, expected more: run it longer")
    total = np.array([d["published"] - d["stamp"] for d in chosen]) / 1e6
    gaps = np.diff([decision["tick"] for decision in decisions])
    low, p50, p99 = np.percentile(total, [1, 50, 99])
    times = {stage: [d["stages"].get(stage, 0.0) for d in chosen] for stage in STAGES}
    stages = {s: {"p50": round(np.median(t), 2), "p99": round(np.percentile(t, 99), 2)} for s, t in times.items()}
    return {
        "decisions": len(chosen),
        "holds": len(decisions) - len(chosen),
        "missed": int(np.maximum(np.round(gaps / spec.period_ns) - 1, 0).sum()),
        "p50": round(p50, 2), "p99": round(p99, 2), "max": round(total.max(), 2), "jitter": round(p99 - low, 2),
        "stages": stages,
    }  # fmt: skip


def _print(result: dict, args: argparse.Namespace) -> None:
    size = f"{args.image[1]}x{args.image[0]}"
    print(f"camera {size} at {args.camera:g} Hz, decisions at {args.rate:g} Hz, {result['decisions']} of them: "
          f"{result['holds']} holds, {result['missed']} missed ticks")  # fmt: skip
    print(f"{'[ms]':28s} {'p50':>7s} {'p99':>7s} {'max':>7s}")
    print(f"{'camera stamp to command':28s} {result['p50']:7.2f} {result['p99']:7.2f} {result['max']:7.2f}")
    for stage, times in result["stages"].items():
        print(f"{'  of it ' + stage:28s} {times['p50']:7.2f} {times['p99']:7.2f}")


def draw(decisions: list[dict], path: Path) -> None:
    """Every latency over time, and where the median one goes."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise QtxError("matplotlib is not installed, it draws the plot: pip install matplotlib") from None
    chosen = [decision for decision in decisions if not decision["hold"]]
    seconds = (np.array([d["tick"] for d in chosen]) - chosen[0]["tick"]) / 1e9
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    left.plot(seconds, [(d["published"] - d["stamp"]) / 1e6 for d in chosen], ".", ms=3, color="#1f5fa8")
    left.set(xlabel="time [s]", ylabel="camera stamp to command [ms]", ylim=(0, None))
    medians = [float(np.median([d["stages"].get(stage, 0.0) for d in chosen])) for stage in STAGES]
    right.barh(STAGES[::-1], medians[::-1], color="#1f5fa8")
    right.set(xlabel="median [ms]")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    print(f"drawn: {path}")
