"""What an agent saw and did in one episode, and how it becomes an episode of a training set."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from qtx_ros.agent.environment import Observed
from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.data.messages import action, targets
from qtx_ros.spec import Spec


@dataclass
class Replay:
    """One episode while it is collected; N steps when it is over."""

    spec: Spec
    instruction: str
    seed: int
    seen: list[Observed] = field(default_factory=list)  # N
    actions: list[np.ndarray] = field(default_factory=list)  # N of float64 [D], as they were really commanded
    rewards: list[float] = field(default_factory=list)  # N
    explored: int = 0  # actions that exploration changed
    truncated: bool = False  # it was cut off
    began_ns: int = field(default_factory=time.time_ns)

    def add(self, observed: Observed, wanted: np.ndarray, reward: float) -> None:
        """One step: what was seen, what was wanted, float64 [D] in the contract's terms, and what it brought.

        What is kept is the action that the robot's limits left of it.
        """
        command = targets(self.spec, wanted, observed.state)
        self.seen.append(observed)
        self.actions.append(action(self.spec, command, observed.state))
        self.rewards.append(reward)

    @property
    def label(self) -> str:
        """Success if the episode ended by itself with a reward, else failure."""
        return "success" if not self.truncated and self.rewards[-1] > 0 else "failure"

    def write(self, folder: Path, source: dict) -> str:
        """Add the episode to the training set in `folder`, without its index; returns the episode's name."""
        stamp = datetime.fromtimestamp(self.began_ns / 1e9).strftime("%Y%m%d-%H%M%S-%f")[:-3]
        name = f"{stamp}-{self.seed}"
        frames = {c.name: np.array([seen.frames[c.name] for seen in self.seen]) for c in self.spec.cameras}
        ends = {"terminated": True, "truncated": self.truncated}  # as the converter writes a labelled episode
        said = {"instruction": self.instruction, "label": self.label, "explored": self.explored, "collector": "policy"}
        write_episode(folder, name, self.spec, frames, self._columns(), {**said, **ends, "source": source})
        return name

    def _columns(self) -> Columns:
        count = len(self.rewards)
        return Columns(
            state=np.array([seen.state for seen in self.seen]),
            action=np.array(self.actions),
            reward=np.array(self.rewards),
            tick=self.began_ns + np.arange(count) * self.spec.period_ns,
            valid=np.ones(count, bool),
            age=np.zeros((count, len(self.spec.cameras) + len(self.spec.states))),
        )
