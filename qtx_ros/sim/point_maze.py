"""D4RL's maze2d without D4RL: a point mass pushed by two forces through a maze, and the controller that made its data.

Masses, gains, walls, noise and rewards are D4RL's; what it does with an old MuJoCo through Gym is done here directly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import mujoco
import numpy as np

from qtx_ros.errors import QtxError

REACHED = 0.5  # [m] from the goal: reward 1 per step
FASTEST = 5.0  # [m/s] per axis
JITTER = 0.1  # [m] of starts and targets
OFFSET = 1.2  # [m] where the body stands at position 0; cells are centred at whole numbers + 1
CLOSE = 0.1  # [m] a waypoint is passed
GAIN, DAMPING = 10.0, -1.0  # of the controller


@dataclass(frozen=True)
class Layout:
    """A maze as text: # wall, O free, G goal; and D4RL's bounds of the return, which make 0 and 100."""

    rows: tuple[str, ...]
    steps: int  # of an episode
    low: float
    high: float

    def cells(self, kinds: str) -> list[tuple[int, int]]:
        """Places of these kinds, row by row."""
        return [(i, j) for i, row in enumerate(self.rows) for j, kind in enumerate(row) if kind in kinds]

    def score(self, rewards: float) -> float:
        """D4RL's normalised score of an episode's sum of rewards."""
        return 100 * (rewards - self.low) / (self.high - self.low)


LAYOUTS = {
    "umaze": Layout(("#####", "#GOO#", "###O#", "#OOO#", "#####"), 300, 23.85, 161.86),
    "medium": Layout(
        ("########", "#OO##OO#", "#OO#OOO#", "##OOO###", "#OO#OOO#", "#O#OO#O#", "#OOO#OG#", "########"),
        600, 13.13, 277.39,
    ),
}  # fmt: skip


class PointMaze:
    """One maze. An observation is x, y [m] and their speeds [m/s], float64 [4]."""

    def __init__(self, name: str, seed: int) -> None:
        """Raises QtxError for a maze that is not in `LAYOUTS`."""
        if name not in LAYOUTS:
            raise QtxError(f"no maze is called {name!r}, the mazes are {', '.join(LAYOUTS)}")
        self.layout, self._rng = LAYOUTS[name], np.random.default_rng(seed)
        self._model = mujoco.MjModel.from_xml_string(_xml(self.layout))
        self._data = mujoco.MjData(self._model)
        self.goal = np.array(self.layout.cells("G")[0], np.float64)

    def reset(self) -> np.ndarray:
        """Start anywhere; returns the observation."""
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:] = self.place()
        self._data.qvel[:] = self._rng.normal(0, 0.1, 2)
        mujoco.mj_forward(self._model, self._data)
        return self.observation

    def place(self) -> np.ndarray:
        """A random place that is free, float64 [2]."""
        cells = self.layout.cells("OG")
        return np.array(cells[self._rng.integers(len(cells))]) + self._rng.uniform(-JITTER, JITTER, 2)

    @property
    def observation(self) -> np.ndarray:
        """Position and speed now."""
        return np.concatenate([self._data.qpos, self._data.qvel])

    def step(self, forces: np.ndarray) -> tuple[np.ndarray, float]:
        """10 ms under forces in [-1, 1], float [2]; returns the observation and the reward of being there."""
        self._data.qvel[:] = np.clip(self._data.qvel, -FASTEST, FASTEST)
        self._data.ctrl[:] = np.clip(forces, -1.0, 1.0)
        mujoco.mj_step(self._model, self._data)
        return self.observation, self.reward(self._data.qpos)

    def reward(self, place: np.ndarray) -> float:
        """1 near the goal, 0 elsewhere."""
        return float(np.linalg.norm(place - self.goal) <= REACHED)


class Waypoints:
    """Drives from cell to cell along the shortest way, one waypoint per cell, each a little off its cell's place."""

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout, self._rng = layout, rng

    def aim(self, place: np.ndarray, target: np.ndarray) -> None:
        """Plan from a place to a target, float [2] each."""
        cells = shortest(self._layout, _cell(place), _cell(target))
        self._points = [np.array(cell) - self._rng.uniform(0, 0.2, 2) for cell in cells[:-1]] + [np.array(cells[-1])]
        self._points = [np.asarray(point, np.float64) for point in self._points]

    def act(self, observation: np.ndarray) -> tuple[np.ndarray, bool]:
        """Forces float64 [2] in [-1, 1], and whether the target is reached."""
        place, speed = observation[:2], observation[2:]
        forces = np.clip(GAIN * (self._points[0] - place) + DAMPING * speed, -1.0, 1.0)
        near = np.linalg.norm(place - self._points[0]) < CLOSE
        if near and len(self._points) > 1:
            self._points.pop(0)
            return forces, False
        return forces, bool(near)


def shortest(layout: Layout, start: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """Cells after `start` up to `target`, breadth first; `target` alone if they are the same."""
    free, before = set(layout.cells("OG")), {start: start}
    queue = deque([start])
    while queue and target not in before:
        i, j = queue.popleft()
        for cell in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if cell in free and cell not in before:
                before[cell] = (i, j)
                queue.append(cell)
    if target not in before:
        raise QtxError(f"no way leads from cell {start} to {target}")
    way = [target]
    while before[way[0]] != start:
        way.insert(0, before[way[0]])
    return way


def _cell(place: np.ndarray) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))


def _xml(layout: Layout) -> str:
    walls = "".join(
        f'<geom type="box" pos="{i + 1} {j + 1} 0" size="0.5 0.5 0.2" conaffinity="1"/>' for i, j in layout.cells("#")
    )
    return f"""<mujoco>
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <default>
    <joint damping="1" limited="false"/>
    <geom friction=".5 .1 .1" density="1000" margin="0.002" condim="1" contype="2" conaffinity="1"/>
  </default>
  <worldbody>
    <body pos="{OFFSET} {OFFSET} 0">
      <geom type="sphere" size="0.1" contype="1"/>
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
    </body>
    {walls}
  </worldbody>
  <actuator>
    <motor joint="x" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
    <motor joint="y" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
  </actuator>
</mujoco>"""
