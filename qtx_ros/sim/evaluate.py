"""`qtx evaluate`: a bundle's success on the simulated robot, in process, with the delay of the wire."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.sim.tasks import CORE, find
from qtx_ros.spec import Spec

SEED = 50_000  # far from the seeds that data is collected with
SHEET_FRAMES = 8


@dataclass(frozen=True)
class Result:
    """How one task went."""

    task: str
    episodes: int
    successes: int
    low: float  # 95 % Wilson interval of the success rate
    high: float
    ticks: float | None  # median length of the successful episodes

    @property
    def success(self) -> float:
        return self.successes / self.episodes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="folder of a bundle, or 'expert' for the scripted expert as a reference")
    parser.add_argument("--episodes", type=int, default=10, help="episodes per task (default 10)")
    parser.add_argument("--tasks", nargs="+", default=list(CORE), metavar="TASK", help="names or instructions")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first episode (default 50000)")
    parser.add_argument("--horizon", type=int, default=70, help="ticks until an episode counts as failed (default 70)")
    parser.add_argument("--delay", type=int, default=1, help="12.5 ms sub-steps from image to command (default 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, tensorrt or torch-cuda (default auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write what the camera saw, one row per task")


def main(args: argparse.Namespace) -> int:
    if args.episodes < 1 or args.horizon < 1:
        raise QtxError(f"episodes is {args.episodes} and horizon {args.horizon}, expected at least 1 of each")
    tasks = [find(text).name for text in args.tasks]
    driver = _expert if args.bundle == "expert" else _bundle_driver(args.bundle, args.device)
    results, frames = evaluate(driver, tasks, args.episodes, args.seed, args.horizon, args.delay)
    print(table(results))
    if args.json:
        summary = {"bundle": args.bundle, "mean_success": mean(results), "tasks": {r.task: _entry(r) for r in results}}
        args.json.write_text(json.dumps(summary, indent=2) + "\n")
    if args.sheet:
        write_sheet(args.sheet, frames)
    return 0


def evaluate(
    driver: Callable, tasks: list[str], episodes: int, seed: int, horizon: int, delay: int
) -> tuple[list[Result], dict[str, list[np.ndarray]]]:
    """Run `episodes` of each task; returns the results, and of each task's first episode some frames.

    `driver(world)` is called after each reset and returns the contract and `act(image, state)` as `rollout` takes it.
    """
    from tqdm import tqdm

    from qtx_ros.sim.rollout import rollout
    from qtx_ros.sim.world import World

    world, results, frames = World(tasks[0]), [], {}
    with tqdm(total=len(tasks) * episodes, unit="episode", dynamic_ncols=True) as bar:
        for task in tasks:
            lengths = []
            for i in range(episodes):
                world.reset(task, seed + i)
                spec, act = driver(world)
                steps = list(rollout(world, spec, act, horizon, delay))
                frames.setdefault(task, [step.image for step in steps])
                lengths += [len(steps)] if steps[-1].done else []
                bar.set_postfix_str(f"{task} {len(lengths)}/{i + 1}")
                bar.update()
            results.append(_result(task, episodes, lengths))
    world.close()
    return results, frames


def _bundle_driver(bundle: str, device: str) -> Callable:
    from qtx_ros.deploy.policy import Policy

    policy = Policy.load(bundle, device)
    print(policy.device_line)
    return policy_driver(policy)


def policy_driver(policy) -> Callable:
    """What `evaluate` asks to drive, from a policy with `spec`, `reset()`, `instruct(text)`, `act(frames, state)`."""
    cameras = [camera.name for camera in policy.spec.cameras]

    def driver(world) -> tuple[Spec, Callable]:
        policy.reset()
        policy.instruct(world.task.instruction)
        return policy.spec, lambda image, state: policy.act(dict.fromkeys(cameras, image), state).values

    return driver


def _expert(world) -> tuple[Spec, Callable]:
    from qtx_ros.data import messages
    from qtx_ros.sim.expert import Expert

    spec, expert = Spec.load("sawyer_sim"), Expert(world.task, world.scene)
    return spec, lambda image, state: messages.action(spec, expert(world.privileged, world.positions), state)


def wilson(successes: int, episodes: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a success rate (95 % for z = 1.96)."""
    rate, spread = successes / episodes, z * z / episodes
    centre = rate + spread / 2
    half = z * math.sqrt(rate * (1 - rate) / episodes + spread / (4 * episodes))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def mean(results: list[Result]) -> float:
    """Mean success over the tasks."""
    return sum(result.success for result in results) / len(results)


def table(results: list[Result]) -> str:
    """The results as text, one line per task and one for the mean."""
    lines = [f"{'task':22} {'success':>8} {'95 % interval':>15} {'episodes':>9} {'ticks':>6}"]
    for r in results:
        ticks = "–" if r.ticks is None else f"{r.ticks:.0f}"
        lines.append(f"{r.task:22} {r.success:8.2f} {f'{r.low:.2f} – {r.high:.2f}':>15} {r.episodes:9} {ticks:>6}")
    return "\n".join([*lines, f"{'mean':22} {mean(results):8.2f}"])


def write_sheet(path: Path, frames: dict[str, list[np.ndarray]]) -> None:
    """A PNG with one row of evenly spaced frames per task, uint8 [h, w, 3] RGB each."""
    import cv2

    picks = [[row[round(i)] for i in np.linspace(0, len(row) - 1, SHEET_FRAMES)] for row in frames.values()]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in picks], axis=0)
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise QtxError(f"cannot write {path}: expected a path to a .png file in an existing folder")


def _result(task: str, episodes: int, lengths: list[int]) -> Result:
    low, high = wilson(len(lengths), episodes)
    return Result(task, episodes, len(lengths), low, high, float(np.median(lengths)) if lengths else None)


def _entry(result: Result) -> dict:
    return asdict(result) | {"success": result.success}
