"""From targets to commands that keep velocity, acceleration and jerk: Ruckig's time-optimal trajectories, tick by tick.

Berscheid, Kröger: Jerk-limited Real-time Trajectory Generation with Arbitrary Target States (RSS 2021). Each trajectory
ends at rest in its target, so a robot that hears nothing more comes to rest there, and a target inside the limits is
approached from inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

LATE = 1.5  # periods after which a robot has reached the last command and stands still


class Motion:
    """The commands of one robot as functions of time. Dimensions without `max_velocity` go straight to their target."""

    def __init__(self, spec: Spec) -> None:
        self._period = spec.period_ns / 1e9
        self._limited = np.array([d.max_velocity is not None for d in spec.dimensions])
        self._limits = [d for d in spec.dimensions if d.max_velocity is not None]
        self._ruckig = _import_ruckig() if self._limits else None
        self._otg = self._ruckig.Ruckig(len(self._limits)) if self._limits else None
        self.forget()

    def forget(self) -> None:
        """Nothing is known of where the commands stand: the next begin at rest where the robot is."""
        self._begin: np.ndarray | None = None  # float64 [D], where the present motion began
        self._end: np.ndarray | None = None  # float64 [D], its target
        self._trajectory: Any = None

    def at(self, seconds: float) -> np.ndarray:
        """The command `seconds` after the last call of `toward` or `brake`, float64 [D]; NaN before the first."""
        share = min(max(seconds, 0.0) / self._period, 1.0)
        if self._begin is None:
            return np.full(len(self._limited), np.nan)
        command = self._begin + share * (self._end - self._begin)
        if self._trajectory is not None:
            command[self._limited] = self._trajectory.at_time(max(seconds, 0.0))[0]
        return command

    def toward(
        self, target: np.ndarray, origin: np.ndarray, elapsed: float | None, streamed: bool = False
    ) -> np.ndarray:
        """Start towards `target`; returns the command for the end of this period, float64 [D].

        `origin`: where the robot is held, for a motion that begins (NaN: unknown, it begins at its target).
        `elapsed`: seconds since the last call; None: this is the first. `streamed`: the commands of `at` were sent all
        the time, not only that of each period's end.
        """
        start = self._start(np.where(np.isfinite(origin), origin, target), elapsed, streamed)
        self._begin, self._end = start[0], np.asarray(target, np.float64)
        if self._limits:
            self._trajectory = self._plan(start, self._end[self._limited], stop=False)
        return self.at(self._period)

    def brake(self, hold: np.ndarray, elapsed: float | None, streamed: bool = False) -> np.ndarray:
        """Come to rest as fast as the limits allow; dimensions without limits go to `hold` at once. As `toward`.

        Where there is no such motion they all do: a stop that fails would be none.
        """
        start = self._start(hold, elapsed, streamed)
        self._begin = self._end = np.where(self._limited, start[0], hold)
        self._trajectory = None
        if self._limits and np.isfinite(start[0][self._limited]).all():
            try:
                self._trajectory = self._plan(start, None, stop=True)
            except QtxError:
                self._begin = self._end = np.array(hold, np.float64)
        return self.at(self._period)

    def _start(self, origin: np.ndarray, elapsed: float | None, streamed: bool) -> tuple[np.ndarray, Any, Any]:
        """Where the commands stand: position [D], velocity and acceleration of the limited dimensions."""
        still = np.zeros(len(self._limits))
        if elapsed is None or self._begin is None:
            return np.array(origin, np.float64), still, still
        seconds = elapsed if streamed else self._period
        position = self.at(seconds)
        position = np.where(np.isfinite(position), position, origin)  # a hold may have known less
        if self._trajectory is None or (elapsed > LATE * self._period and not streamed):
            return position, still, still
        _, velocity, acceleration = self._trajectory.at_time(seconds)
        return position, velocity, acceleration

    def _plan(self, start: tuple[np.ndarray, Any, Any], target: np.ndarray | None, stop: bool) -> Any:
        ruckig, count = self._ruckig, len(self._limits)
        task = ruckig.InputParameter(count)
        task.synchronization = ruckig.Synchronization.No
        task.control_interface = ruckig.ControlInterface.Velocity if stop else ruckig.ControlInterface.Position
        task.current_position = start[0][self._limited]
        task.current_velocity, task.current_acceleration = start[1], start[2]
        if not stop:
            task.target_position = target
        task.max_velocity = [d.max_velocity for d in self._limits]
        task.max_acceleration = [d.max_acceleration or np.inf for d in self._limits]
        task.max_jerk = [d.max_jerk or np.inf for d in self._limits]
        trajectory = ruckig.Trajectory(count)
        result = self._otg.calculate(task, trajectory)
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            raise QtxError(f"no motion within the limits was found: {result}")
        return trajectory


def _import_ruckig() -> Any:
    try:
        import ruckig
    except ModuleNotFoundError:
        raise QtxError("the robot's file limits velocities, that needs ruckig: pip install ruckig") from None
    return ruckig
