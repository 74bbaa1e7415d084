"""Jogging a robot dimension by dimension: what keyboard and joystick share. Knows no robot, only its contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from qtx_ros.data import messages
from qtx_ros.deploy import safety
from qtx_ros.spec import CommandStream, Spec


class Jog:
    """Turns "this dimension, this way, this fast" into absolute commands.

    A delta dimension moves relative to its measured position and stays at its last command when released; an absolute
    dimension is wound up and down between its low and high. A velocity or effort is commanded as long as it is asked
    for, and zero otherwise.
    """

    STROKE = 1.0  # [s] from low to high of an absolute dimension at full speed

    def __init__(self, spec: Spec) -> None:
        self._spec, self._resting = spec, safety.resting(spec)
        self._delta = np.array([d.mode == "delta" for d in spec.dimensions])
        self._low = np.array([d.low for d in spec.dimensions])
        self._high = np.array([d.high for d in spec.dimensions])
        self._target = np.full(len(spec.dimensions), np.nan)  # the last command; NaN: none yet

    def command(self, speeds: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Absolute command, float64 [D], for speeds, float [D] in [-1, 1], at a measured state, float [S].

        At full speed a delta dimension moves by its whole `low` or `high` per tick, a velocity or effort is that value.
        """
        speeds = np.clip(np.asarray(speeds, np.float64), -1.0, 1.0)
        last = self._last(state)
        step = speeds * (self._high - self._low) / (self.STROKE * self._spec.rate)
        wound = np.clip(last + step, self._low, self._high)
        position = np.where(self._delta, np.where(speeds != 0, self._moved(speeds, state), last), wound)
        self._target = np.where(self._resting, self._flow(speeds), position)
        return self._target.copy()

    def witness(self, stream: CommandStream, msg: Any) -> None:
        """Remember what the robot was commanded, by whomever: a motion by hand begins there. QtxError: not readable."""
        self._target = messages.commanded(self._spec, self._target, stream, msg)

    def stop(self, state: np.ndarray | None) -> np.ndarray:
        """Absolute command, float64 [D], that stays where the robot is; velocities and efforts are zero.

        Without a state (None) positions repeat the last command; NaN where there was none.
        """
        measured = np.full(len(self._spec.state_names), np.nan) if state is None else state
        self._target = safety.hold(self._spec, measured, self._last(state))
        return self._target.copy()

    def _moved(self, speeds: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Delta dimensions one tick further than measured, float64 [D]."""
        deltas = np.where(speeds > 0, speeds * self._high, -speeds * self._low)
        return messages.targets(self._spec, deltas * self._delta, state)

    def _flow(self, speeds: np.ndarray) -> np.ndarray:
        """Velocities and efforts, float64 [D]: in the direction asked for within the limits, zero where none is."""
        flow = np.where(speeds > 0, speeds * np.maximum(self._high, 0.0), -speeds * np.minimum(self._low, 0.0))
        return np.where(speeds != 0, safety.clip(self._spec, flow), 0.0)

    def _last(self, state: np.ndarray | None) -> np.ndarray:
        """The last command, float64 [D]; where there was none, the robot's position if it is measured."""
        return self._target if state is None else np.where(np.isnan(self._target), self._start(state), self._target)

    def _start(self, state: np.ndarray) -> np.ndarray:
        """Measured positions; an absolute dimension that is not measured starts at its value nearest to zero."""
        known = dict(zip(self._spec.state_names, state, strict=True))
        start = [known.get(d.state_name, 0.0) for d in self._spec.dimensions]
        return np.where(self._delta, start, np.clip(start, self._low, self._high))
