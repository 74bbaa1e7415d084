"""`qtx demo`: simulated robot, policy and recorder as three processes, and a director that plays episodes."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from tqdm import tqdm

from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.processes import Children
from qtx_ros.spec import Spec

ROBOT = "sawyer_sim"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", default="sawyer_sim", help="bundle folder, or the name of a shipped one")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="default: what the shipped policy was trained on")
    parser.add_argument("--episodes", type=int, default=10, help="per task (default 10)")
    parser.add_argument("--time-limit", type=float, default=6.0, metavar="S", help="per episode (default 6)")
    parser.add_argument("--seed", type=int, default=900_000, help="of the first episode's scene (default 900000)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, tensorrt or torch-cuda")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for bags, pictures and summary.json")


def main(args: argparse.Namespace) -> int:
    """Play the episodes, write summary.json and the pictures, print the table."""
    from qtx_ros.nodes import demo_report
    from qtx_ros.sim.tasks import CORE, find

    if args.episodes < 1 or not args.time_limit > 0:
        raise QtxError(f"episodes is {args.episodes} and time-limit {args.time_limit:g}, expected more than 0 of each")
    tasks = [find(task).name for task in args.tasks or CORE]
    bundle = Path(args.bundle) if Path(args.bundle).is_dir() else share(f"models/{args.bundle}")
    began = time.monotonic()
    _clear(args.out)
    _stay_on_this_machine()
    with Children(args.out / "logs") as children:
        _start(children, bundle, args)
        played = _play(children, tasks, args)
    summary = demo_report.write(args.out, played, Spec.load(ROBOT), time.monotonic() - began)
    demo_report.show(summary, args.out)
    return 0


def _clear(out: Path) -> None:
    """Empty the output folder, but only if it is one that a demo wrote."""
    if out.exists() and any(out.iterdir()) and not (out / "logs").is_dir():
        raise QtxError(f"{out} holds files that no demo wrote; name an empty or a new folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def _stay_on_this_machine() -> None:
    """Loopback only, and a ROS domain of our own unless the user chose one: no real robot must hear the demo."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if os.environ.get("ROS_DISTRO") == "humble":  # knows only this variable, which its successors call deprecated
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))


def _start(children: Children, bundle: Path, args: argparse.Namespace) -> None:
    qtx = [sys.executable, "-m", "qtx_ros"]
    children.start("sim", [*qtx, "sim", "--robot", ROBOT])
    children.start("recorder", [*qtx, "record", "--robot", ROBOT, "--out", str(args.out / "bags")])
    children.start("policy", [*qtx, "policy", "--robot", ROBOT, "--bundle", str(bundle), "--device", args.device,
                              "--no-autostart"])  # fmt: skip


def _play(children: Children, tasks: list[str], args: argparse.Namespace) -> list:
    """All episodes, task after task."""
    from qtx_ros.nodes.director import CONFIGURE, Director

    with _spinning(Director, Spec.load(ROBOT)) as director:
        director.wait_for_peers(60.0, children.check)
        director.drive(CONFIGURE)
        plan = [(task, args.seed + episode) for task in tasks for episode in range(args.episodes)]
        played = []
        bar = tqdm(plan, unit="episode", disable=None)
        for task, seed in bar:
            bar.set_description(task)
            played.append(director.play(task, seed, args.time_limit, children.check))
            bar.set_postfix(successes=f"{sum(p.success for p in played)}/{len(played)}")
        return played


@contextlib.contextmanager
def _spinning(node_class, *arguments):
    """A node whose callbacks run in a thread of their own."""
    from qtx_ros import ros

    ros.init()
    node = node_class(*arguments)
    executor = ros.SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor,), daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(2.0)
        node.destroy_node()
        ros.try_shutdown()


def _spin(executor) -> None:
    from qtx_ros import ros

    with contextlib.suppress(ros.ExternalShutdownException):
        executor.spin()
