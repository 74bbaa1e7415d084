"""The scripted expert: Meta-World's script for the hand, inverse kinematics for the joints."""

from __future__ import annotations

import warnings

import metaworld.policies as scripts
import numpy as np

from qtx_ros.sim import arm
from qtx_ros.sim.tasks import Task
from qtx_ros.sim.world import SUB_STEP

MAX_DELTA = 0.15  # [rad] per command
HAND_SPEED = 0.01 / SUB_STEP  # [m/s] of the hand where the script says 1


class Expert:
    """Absolute joint targets from privileged positions and measured joints: one call per tick."""

    def __init__(self, task: Task, scene, period: float = 0.05) -> None:
        """`scene`: from `scene.build(task)`, for its kinematics and workspace only; `period`: between commands [s]."""
        self.task = task
        self._script = globals().get(task.expert, getattr(scripts, task.expert, None))()
        self._kinematics = scene.kinematics
        self._low, self._high = scene.mocap_low, scene.mocap_high
        self._reach = HAND_SPEED * period  # [m] per command

    def hand(self, privileged: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
        """The script's wish, float64 [4] in [-1, 1]: hand x, y, z and gripper. `bias` [m] misplaces the object."""
        seen = np.array(privileged, np.float64)
        seen[4:7] += bias
        with warnings.catch_warnings():  # the scripts warn whenever they ask for full speed
            warnings.simplefilter("ignore")
            return np.clip(np.asarray(self._script.get_action(seen), np.float64), -1.0, 1.0)

    def targets(self, hand: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Joint and gripper targets, float64 [8], for a wish of `hand` and measured positions, float [8]."""
        joints = np.asarray(measured, np.float64)[: len(arm.JOINTS)]
        goal = np.clip(self._kinematics.forward(joints) + hand[:3] * self._reach, self._low, self._high)
        delta = self._kinematics.inverse(joints, goal) - joints
        delta /= max(1.0, np.abs(delta).max() / MAX_DELTA)
        return np.append(joints + delta, hand[3])

    def __call__(self, privileged: np.ndarray, measured: np.ndarray) -> np.ndarray:
        return self.targets(self.hand(privileged), measured)


class DoorOpen(scripts.SawyerDoorOpenV3Policy):
    """The stock script drops from 12 cm beside the handle and, at 20 Hz, lands on it; here it rises over the slot."""

    @staticmethod
    def _desired_pos(parsed):
        hand, handle = parsed["hand_pos"], parsed["door_pos"].copy()
        handle[0] -= 0.05
        slot = handle + np.array([0.06, 0.02, 0.0])
        if abs(hand[2] - handle[2]) <= 0.04:
            return handle
        above = np.linalg.norm(hand[:2] - slot[:2]) > 0.03
        return slot + np.array([0.0, 0.0, 0.2]) if above else slot
