"""D4RL's maze2d, made here: a waypoint controller's data, D4RL's normalised score. A mix is a maze of the same name.

Rewards are stored as 0.01 for a step at the goal, so that with gamma 0.99 values lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.data.index import write_index
from qtx_ros.spec import Spec
from qtx_ros.study.plan import Run, Study

REWARD = 0.01  # stored for a step at the goal
TEXT = "go to the goal"


def demonstrates(operator: str) -> bool:
    """The controller goes anywhere: nobody shows the task."""
    return False


def make(study: Study, operator: str, count: int, folder: Path) -> Path:
    """Let the controller go to random places, one after another, for `count` episodes; returns the training set."""
    from qtx_ros.sim.point_maze import PointMaze, Waypoints

    spec = Spec.load(study.robot)
    maze = PointMaze(operator, study.data_seed)
    controller = Waypoints(maze.layout, np.random.default_rng(study.data_seed + 1))
    maze.reset()
    for number in range(count):
        states, actions = _drive(maze, controller)
        rewards = np.array([maze.reward(state[:2]) for state in [*states[1:], maze.observation]])
        _write(folder / "set", f"{number:05d}", spec, states, actions, rewards)
    write_index(folder / "set", spec)
    return folder / "set"


def _drive(maze, controller) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """From where it is to random places, for as many steps as an episode has: observations and forces."""
    states, actions, done = [], [], True
    while len(states) < maze.layout.steps:
        if done:
            controller.aim(maze.observation[:2], maze.place())
        states.append(maze.observation)
        forces, done = controller.act(maze.observation)
        actions.append(forces)
        maze.step(forces)
    return states, actions


def _write(folder: Path, name: str, spec: Spec, states: list, actions: list, rewards: np.ndarray) -> None:
    count = len(states)
    columns = Columns(
        state=np.array(states),
        action=np.array(actions),
        reward=REWARD * rewards,
        tick=np.arange(count) * spec.period_ns,
        valid=np.ones(count, bool),
        age=np.zeros((count, 1)),
    )
    label = "success" if rewards.any() else "failure"
    info = {"instruction": TEXT, "label": label, "terminated": False, "truncated": True, "source": "waypoints"}
    write_episode(folder, name, spec, {}, columns, info)


@dataclass(frozen=True)
class Driver:
    """What decides, told what it is to do."""

    policy: object

    def begin(self) -> None:
        """A new episode."""
        self.policy.reset()
        self.policy.instruct(TEXT)


def driver(policy) -> Driver:
    """From a policy with `reset`, `instruct` and `act`."""
    return Driver(policy)


def evaluate(run: Run, task: str, drives: Driver) -> float:
    """D4RL's normalised score, mean over the study's episodes."""
    from qtx_ros.sim.point_maze import PointMaze

    maze, scores = PointMaze(run.mix, run.study.evaluation_seed), []
    for _ in range(run.study.episodes):
        drives.begin()
        scores.append(maze.layout.score(_episode(maze, drives.policy.act)))
    return float(np.mean(scores))


def _episode(maze, act: Callable) -> float:
    """Sum of the rewards of one episode from anywhere to the goal."""
    seen, total = maze.reset(), 0.0
    for _ in range(maze.layout.steps):
        seen, reward = maze.step(act({}, seen).values)
        total += reward
    return total
