"""Forward and inverse kinematics of the arm's hand."""

from __future__ import annotations

import mujoco
import numpy as np

from qtx_ros.sim import arm


class Kinematics:
    """Hand position ↔ joint positions, with the hand pointing down. Works on a copy of the scene's state."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        self._at = arm.Indices(model)
        self._hand = model.body(arm.HAND).id
        self._jacobian = np.zeros((6, model.nv))

    def forward(self, joints: np.ndarray) -> np.ndarray:
        """Hand position [m], float64 [3], for joint positions [rad], float [7]."""
        self._data.qpos[self._at.position] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        return self._data.xpos[self._hand].copy()

    def inverse(self, joints: np.ndarray, target: np.ndarray, iterations: int = 4, posture: float = 0.05) -> np.ndarray:
        """Joint positions [rad], float64 [7], that bring the hand from `joints` towards `target` [m], float [3].

        Damped least squares; `posture` is the pull towards the rest posture in the null space. Stays within the limits.
        """
        joints = np.array(joints, np.float64)
        for _ in range(iterations):
            error = self._error(joints, target)
            if np.abs(error).max() < 1e-6:
                break
            step = self._step(joints, error, posture * (arm.POSTURE - joints))
            joints = np.clip(joints + step, self._at.low, self._at.high)
        return joints

    def _error(self, joints: np.ndarray, target: np.ndarray) -> np.ndarray:
        position = self.forward(joints)
        inverse, difference, rotation = np.zeros(4), np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(inverse, self._data.xquat[self._hand])
        mujoco.mju_mulQuat(difference, arm.HAND_DOWN, inverse)
        mujoco.mju_quat2Vel(rotation, difference, 1.0)
        return np.concatenate([target - position, rotation])

    def _step(self, joints: np.ndarray, error: np.ndarray, pull: np.ndarray, damping: float = 0.02) -> np.ndarray:
        mujoco.mj_jacBody(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._hand)
        jacobian = self._jacobian[:, self._at.velocity].copy()  # [6, 7]
        for _ in range(3):  # joints that would leave their range are locked, the others solve again
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + damping**2 * np.eye(6))
            step = inverse @ error + (np.eye(len(joints)) - inverse @ jacobian) @ pull
            outside = (joints + step < self._at.low) | (joints + step > self._at.high)
            if not outside.any():
                break
            jacobian[:, outside] = 0.0
        return step
