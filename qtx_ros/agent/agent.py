"""The agent: drives a policy in an environment, explores if asked to, and writes what it saw, failures included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from qtx_ros.agent.environment import Environment
from qtx_ros.agent.replay import Replay
from qtx_ros.data.index import INDEX, read_index, write_index
from qtx_ros.deploy.exploration import Exploration, Explorer
from qtx_ros.deploy.policy import Choice
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec


class Actor(Protocol):
    """What can drive: `qtx_ros.deploy.policy.Policy` is one, `qtx_ros.learn.acting.NetworkPolicy` another."""

    spec: Spec
    cells: tuple[int, ...] | None  # as of `deploy.exploration.gumbel`

    def reset(self) -> None:
        """Forget all frames."""

    def instruct(self, text: str) -> None:
        """Take an instruction."""

    def act(self, frames: Mapping[str, np.ndarray], state: np.ndarray) -> Choice:
        """Choose an action."""


class Agent:
    """One policy in one environment. The exploration goes on from episode to episode."""

    def __init__(self, environment: Environment, policy: Actor, exploration: Exploration | None = None) -> None:
        if environment.spec.digest() != policy.spec.digest():
            names = f"robot {environment.spec.name!r}, the policy was trained for {policy.spec.name!r}"
            raise QtxError(f"the environment is {names}: their descriptions must be the same")
        self.environment, self.policy = environment, policy
        self.exploration = exploration or Exploration()
        self._explore = Explorer(self.exploration, environment.spec, policy.cells)

    def episode(self, seed: int) -> Replay:
        """Play one episode to its end."""
        environment, policy = self.environment, self.policy
        replay = Replay(environment.spec, environment.instruction, seed)
        observed = environment.reset(seed)
        policy.reset()
        policy.instruct(environment.instruction)
        over = False
        while not over:
            choice = self._explore(policy.act(observed.frames, observed.state))
            after, reward, terminated, truncated = environment.step(choice.values)
            replay.add(observed, choice.values, reward)
            replay.explored += choice.explored
            observed, over = after, terminated or truncated
        replay.truncated = truncated and not terminated
        return replay

    def collect(self, folder: str | Path, episodes: int, seed: int = 0) -> list[Replay]:
        """Play episodes with the seeds from `seed` on and add them to the training set in `folder`.

        A folder that is none yet becomes one; QtxError if it is another robot's.
        """
        folder, spec = Path(folder), self.environment.spec
        if (folder / INDEX).exists() and read_index(folder)[0].digest() != spec.digest():
            raise QtxError(f"{folder} holds another robot description than {spec.name!r}, name another folder")
        replays = []
        for number in range(seed, seed + episodes):
            replays.append(self.episode(number))
            replays[-1].write(folder, {"agent": str(self.exploration), "seed": number})
            write_index(folder, spec)
        return replays
