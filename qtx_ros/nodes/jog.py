"""Jogging a robot dimension by dimension: what keyboard and joystick share. Knows no robot, only its contract."""

from __future__ import annotations

import numpy as np

from qtx_ros.data import messages
from qtx_ros.spec import Spec


class Jog:
    """Turns "this dimension, this way, this fast" into absolute commands.

    A delta dimension moves relative to its measured position and stays at its last command when released; an absolute
    dimension is wound up and down between its low and high.
    """

    STROKE = 1.0  # [s] from low to high of an absolute dimension at full speed

    def __init__(self, spec: Spec) -> None:
        self._spec, self._target = spec, None
        self._delta = np.array([d.mode == "delta" for d in spec.dimensions])
        self._low = np.array([d.low for d in spec.dimensions])
        self._high = np.array([d.high for d in spec.dimensions])

    def command(self, speeds: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Absolute command, float64 [D], for speeds, float [D] in [-1, 1], at a measured state, float [S].

        At full speed a delta dimension moves by its whole `low` or `high` per tick.
        """
        speeds = np.clip(np.asarray(speeds, np.float64), -1.0, 1.0)
        deltas = np.where(speeds > 0, speeds * self._high, -speeds * self._low) * self._delta
        if self._target is None:
            self._target = self._start(state)
        measured = messages.targets(self._spec, deltas, state)
        step = speeds * (self._high - self._low) / (self.STROKE * self._spec.rate)
        wound = np.clip(self._target + step, self._low, self._high)
        target = np.where(self._delta, np.where(speeds != 0, measured, self._target), wound)
        self._target = target
        return target.copy()

    def stop(self, state: np.ndarray) -> np.ndarray:
        """Stay where the robot is: absolute command, float64 [D]."""
        start = self._start(state)
        if self._target is not None:
            start = np.where(self._delta, start, self._target)
        self._target = start
        return start.copy()

    def _start(self, state: np.ndarray) -> np.ndarray:
        """Measured positions; an absolute dimension that is not measured starts at its value nearest to zero."""
        known = dict(zip(self._spec.state_names, state, strict=True))
        start = [known.get(d.reference or d.name, 0.0) for d in self._spec.dimensions]
        return np.where(self._delta, start, np.clip(start, self._low, self._high))
