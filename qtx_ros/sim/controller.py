"""A joint trajectory controller: one point per command, a straight ramp to it, then hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qtx_ros.errors import QtxError


class TrajectoryController:
    """Setpoints of named joints, as ros2_control's joint_trajectory_controller gives them for one-point trajectories.

    A command starts from the measured position, reaches its target after `duration` and is held from then on. A target
    that would need more than `max_speed` arrives later instead. The setpoint never leads the measured position by more
    than `max_lead`, so a blocked arm presses with a bounded force and nothing winds up.
    """

    def __init__(self, limits: Mapping[str, tuple[float, float]], max_speed: float, max_lead: float) -> None:
        """`limits`: low and high of each joint [rad]; `max_speed` [rad/s]; `max_lead` [rad]."""
        self.names = tuple(limits)
        self._low, self._high = np.array(list(limits.values()), np.float64).T
        self._max_speed, self._max_lead = max_speed, max_lead
        self.hold(np.zeros(len(self.names)))

    def hold(self, positions: np.ndarray) -> None:
        """Forget every command and stay at `positions`, float [n]."""
        self._start = np.array(positions, np.float64)
        self._goal = self._start.copy()
        self._duration = np.zeros(len(self.names))
        self._elapsed = np.zeros(len(self.names))

    @property
    def goal(self) -> np.ndarray:
        """Where the joints are told to go, float64 [n]."""
        return self._goal.copy()

    def command(self, targets: Mapping[str, float], duration: float, measured: np.ndarray) -> None:
        """Move the named joints to `targets` [rad] within `duration` [s]; the others keep what they do.

        Raises QtxError for an unknown joint, a target or duration that is not finite, or a negative duration.
        """
        self.check(targets, duration)
        for name, target in targets.items():
            i = self.names.index(name)
            self._start[i] = measured[i]
            self._goal[i] = np.clip(target, self._low[i], self._high[i])
            self._duration[i] = max(duration, abs(self._goal[i] - self._start[i]) / self._max_speed)
            self._elapsed[i] = 0.0

    def check(self, targets: Mapping[str, float], duration: float) -> None:
        """Raise QtxError unless `command` would take this."""
        unknown = [name for name in targets if name not in self.names]
        if unknown:
            raise QtxError(f"unknown joints {', '.join(map(repr, unknown))}, the robot has {', '.join(self.names)}")
        bad = {name: target for name, target in targets.items() if not np.isfinite(target)}
        if bad:
            raise QtxError(f"targets {bad} are not finite numbers")
        if not (np.isfinite(duration) and duration >= 0):
            raise QtxError(f"duration is {duration} s, expected a finite number from 0")

    def advance(self, dt: float, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Setpoints after another `dt` seconds: positions float64 [n] [rad], velocities float64 [n] [rad/s]."""
        self._elapsed += dt
        moving = self._elapsed <= self._duration + 1e-9
        duration = np.maximum(self._duration, 1e-9)
        fraction = np.where(moving, np.minimum(self._elapsed / duration, 1.0), 1.0)
        positions = self._start + fraction * (self._goal - self._start)
        velocities = np.where(moving, (self._goal - self._start) / duration, 0.0)
        return np.clip(positions, measured - self._max_lead, measured + self._max_lead), velocities
