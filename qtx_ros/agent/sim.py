"""The simulated robot as an environment: what `rollout` does, one tick at a time."""

from __future__ import annotations

import numpy as np

from qtx_ros.agent.environment import Observed
from qtx_ros.data.messages import targets
from qtx_ros.errors import QtxError
from qtx_ros.sim.rollout import DELAY, HORIZON, observe, sub_steps, tick
from qtx_ros.sim.tasks import find
from qtx_ros.sim.world import World
from qtx_ros.spec import Spec


class SimEnvironment:
    """One task of the simulated robot; reward 1 once it is done. Use it from one thread only."""

    def __init__(self, spec: Spec, task: str, horizon: int = HORIZON, delay: int = DELAY) -> None:
        """`task`: a name or an instruction; `horizon`: ticks until an episode is cut off; `delay`: as in `rollout`.

        Raises QtxError for an unknown task, and for a contract that is not the simulated robot's.
        """
        if horizon < 1:
            raise QtxError(f"horizon is {horizon}, expected at least 1 tick")
        self.spec, self._per_tick = spec, sub_steps(spec)
        self.instruction = find(task).instruction
        self._task, self._horizon, self._delay = find(task).name, horizon, delay
        self._world = World(self._task)

    def reset(self, seed: int) -> Observed:
        """The arm at home, the scene as `seed` says."""
        self._world.reset(self._task, seed)
        self._ticks = 0
        return self._observe()

    def step(self, action: np.ndarray) -> tuple[Observed, float, bool, bool]:
        """One tick; an episode is terminated when its task is done, and truncated at the horizon."""
        values = targets(self.spec, action, self._seen.state)
        command = dict(zip((d.name for d in self.spec.dimensions), values, strict=True))
        done = tick(self._world, command, self._per_tick, self._delay, 1.0 / self.spec.rate)
        self._ticks += 1
        return self._observe(), float(done), done, not done and self._ticks >= self._horizon

    def close(self) -> None:
        """Free what OpenGL gave."""
        self._world.close()

    def _observe(self) -> Observed:
        image, state = observe(self._world, self.spec)
        self._seen = Observed({camera.name: image for camera in self.spec.cameras}, state)
        return self._seen
