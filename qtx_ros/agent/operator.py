"""A policy in the place of a scripted operator of `qtx collect`."""

from __future__ import annotations

import numpy as np

from qtx_ros.agent.agent import Actor
from qtx_ros.data.messages import targets
from qtx_ros.deploy.exploration import Exploration, Explorer
from qtx_ros.sim.operators import Mix
from qtx_ros.sim.rollout import observe
from qtx_ros.sim.world import World


class PolicyOperator:
    """Drives as `qtx_ros.sim.operators.Operator` does: every episode is kept, and begins at home."""

    guided = 0
    mix = Mix("", "a policy, failures included")

    def __init__(self, policy: Actor, exploration: Exploration) -> None:
        self.spec, self._policy = policy.spec, policy
        self._explore = Explorer(exploration, policy.spec, policy.cells)

    def begin(self, world: World) -> None:
        """A new episode in `world`, which was just reset."""
        self._world = world
        self._policy.reset()
        self._policy.instruct(world.task.instruction)

    def act(self, privileged: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Joint and gripper targets, float64 [8], as the policy wants them; `privileged` is not for it."""
        image, state = observe(self._world, self.spec)
        choice = self._explore(self._policy.act({camera.name: image for camera in self.spec.cameras}, state))
        names = [dimension.name for dimension in self.spec.dimensions]
        wanted = dict(zip(names, targets(self.spec, choice.values, state), strict=True))
        return np.array([wanted.get(name, at) for name, at in zip(World.names, measured, strict=True)])
