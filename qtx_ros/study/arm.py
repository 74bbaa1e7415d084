"""The simulated arm: scripted operators make the data, success is measured in closed loop with the wire's delay."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from qtx_ros.spec import Spec
from qtx_ros.study.plan import Run, Study, check_choice

SEEDS_APART = 50_000  # between the operators' first scenes
DELAY = 1  # sub-steps of 12.5 ms from what is seen to what is done


def demonstrates(operator: str) -> bool:
    """Whether an operator shows how it is done; QtxError for an unknown one."""
    from qtx_ros.sim.operators import MIXES

    check_choice("operator", [operator], MIXES)
    return MIXES[operator].wanted == "success"


def make(study: Study, operator: str, count: int, folder: Path) -> Path:
    """Record `count` episodes of each task as bags and convert them; returns the training set within `folder`."""
    from qtx_ros.data.conversion import Options
    from qtx_ros.data.convert import convert
    from qtx_ros.data.storage import find_bags
    from qtx_ros.nodes.collect import collect
    from qtx_ros.nodes.offline_collector import OfflineCollector
    from qtx_ros.sim.operators import MIXES

    demonstrates(operator)
    spec, first = Spec.load(study.robot), study.data_seed + SEEDS_APART * list(MIXES).index(operator)
    collector = OfflineCollector(spec, folder / "bags")
    try:
        collect(collector, list(study.tasks), operator, count, first, study.horizon, keep_all=False)
    finally:
        collector.close()
    convert(find_bags([str(folder / "bags")]), Options(str(folder / "set"), spec))
    shutil.rmtree(folder / "bags")
    return folder / "set"


def evaluate(run: Run, task: str, drives: Callable) -> float:
    """Success rate on one task; `drives` as `sim.evaluate.evaluate` takes it."""
    from qtx_ros.sim.evaluate import evaluate as measure

    study = run.study
    results, _ = measure(drives, [task], study.episodes, study.evaluation_seed, study.horizon, DELAY)
    return results[0].success


def driver(policy) -> Callable:
    """What `evaluate` asks to drive, from a policy with `spec`, `reset`, `instruct` and `act`."""
    from qtx_ros.sim.evaluate import policy_driver

    return policy_driver(policy)
