"""`qtx bench faults`: real policy and watchdog, a scripted robot, every fault over the wire, and the commanded hold.

Every promise stands in `docs/safety.md`; the table there is written by `--write`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import tempfile
from pathlib import Path

from qtx_ros.bench import fault_report
from qtx_ros.bench.fault_cases import CASES, Case, Terms, unload
from qtx_ros.bench.fault_report import Row
from qtx_ros.bench.fault_trial import Trial, run
from qtx_ros.bench.rig import Rig
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

MAX_SPEED = 4.0  # [rad/s] of the robot's file, so that jumps are seen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=5, help="of each fault (5)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="faults whose name contains this")
    parser.add_argument("--bundle", default="sawyer_sim", help="of the policy (sawyer_sim)")
    parser.add_argument("--slack", type=float, default=0.0, help="seconds added to every promise (0)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of this file")
    parser.add_argument("--seed", type=int, default=0, help="of the phases (0)")
    parser.add_argument("--logs", type=Path, help="folder for the logs of the processes (a temporary one)")


def main(args: argparse.Namespace) -> int:
    """Exit status 1 if a promise was broken."""
    if args.trials < 1:
        raise QtxError(f"--trials is {args.trials}, at least one is needed")
    cases = [case for case in CASES if not args.only or any(text in case.name for text in args.only)]
    if not cases:
        raise QtxError(f"no fault is named {' or '.join(args.only)}, there are: {', '.join(c.name for c in CASES)}")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    with tempfile.TemporaryDirectory(prefix="bench_faults_") as folder:
        rows = _run(cases, args, args.logs or Path(folder))
    if args.write:
        fault_report.write(args.write, rows, args.trials)
    return fault_report.conclude(rows)


def _run(cases: list[Case], args: argparse.Namespace, folder: Path) -> list[Row]:
    folder.mkdir(parents=True, exist_ok=True)
    robot = folder / "robot.json.yaml"
    robot.write_text(_robot().to_json())
    phase, rows = random.Random(args.seed), []
    print(fault_report.HEAD)
    for simulated in (False, True):
        some = [case for case in cases if case.simulated == simulated]
        if not some:
            continue
        spare = any("another starts" in case.name for case in some)
        with Rig(folder / ("simulated" if simulated else "real"), args.bundle, str(robot), simulated, spare) as rig:
            for case in some:
                rows.append(_row(rig, case, args, phase))
                print(fault_report.line(rows[-1]), flush=True)
    return rows


def _robot() -> Spec:
    """The shipped robot with a limit of its joints' speed."""
    spec = Spec.load("sawyer_sim")
    return dataclasses.replace(spec, states=(dataclasses.replace(spec.states[0], max_speed=MAX_SPEED),))


def _row(rig: Rig, case: Case, args: argparse.Namespace, phase: random.Random) -> Row:
    trials: list[Trial] = []
    try:
        for _ in range(args.trials):
            trials.append(run(rig, case, phase))
    except QtxError as error:
        raise QtxError(f"{case.name}, trial {len(trials) + 1}: {error}") from None
    finally:
        unload()
    promised = (case.promise.seconds(Terms.of(rig.spec)) + args.slack) * 1e3
    return Row(case, promised, tuple(trials))
