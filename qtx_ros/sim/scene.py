"""A Meta-World environment whose arm is driven by joint servos instead of a mocap weld."""

from __future__ import annotations

import functools
import warnings

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from qtx_ros.sim import arm
from qtx_ros.sim.controller import TrajectoryController
from qtx_ros.sim.kinematics import Kinematics
from qtx_ros.sim.tasks import Task

SETTLE = 20  # sub-steps at home before an episode begins
PHYSICS_STEP = 0.0025  # [s]
FRAME_SKIP = 5  # physics steps per sub-step


class JointDriven:
    """Replaces how a Meta-World environment moves its arm; scenes, randomisation and success stay Meta-World's."""

    def _initialize_simulation(self):
        spec = mujoco.MjSpec.from_file(self.fullpath)
        arm.motorise(spec)
        model = spec.compile()
        model.opt.timestep = PHYSICS_STEP
        model.vis.global_.offwidth, model.vis.global_.offheight = self.width, self.height
        model.vis.quality.offsamples = 0
        self.at = arm.Indices(model)
        self.kinematics = Kinematics(model)
        limits = dict(zip(arm.JOINTS, zip(self.at.low, self.at.high, strict=True), strict=True))
        self.controller = TrajectoryController(limits, arm.MAX_SPEED, arm.MAX_LEAD)
        self.gripper = -1.0
        return model, mujoco.MjData(model)

    def set_xyz_action(self, action) -> None:
        """Meta-World's mocap control: gone."""

    def do_simulation(self, ctrl, n_frames) -> None:
        control, joints = self.data.ctrl, self.at.position
        control[self.at.finger_motor] = self.gripper, -self.gripper
        for _ in range(n_frames):
            positions, velocities = self.controller.advance(PHYSICS_STEP, self.data.qpos[joints])
            control[self.at.servo] = positions + arm.DAMPING / arm.STIFFNESS * velocities
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_rnePostConstraint(self.model, self.data)

    def _reset_hand(self, steps: int = 50) -> None:
        home = _home(self.kinematics, tuple(self.hand_init_pos))
        self.data.qpos[self.at.position] = home
        self.data.qvel[self.at.velocity] = 0.0
        self.data.qvel[self.at.finger_velocity] = 0.0
        self.controller.hold(home)
        self.gripper = -1.0
        mujoco.mj_forward(self.model, self.data)
        self.do_simulation(None, SETTLE * FRAME_SKIP)
        self.init_tcp = self.tcp_center


@functools.lru_cache(maxsize=64)
def _home(kinematics: Kinematics, hand: tuple[float, float, float]) -> np.ndarray:
    return kinematics.inverse(arm.POSTURE, np.array(hand), iterations=300, posture=0.0)


@functools.cache
def _scene_class(name: str) -> type:
    return type(f"JointDriven_{name}", (JointDriven, ALL_V3_ENVIRONMENTS[f"{name}-v3"]), {})


def build(task: Task):
    """The task's environment, ready for `seed()` and `reset()`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = _scene_class(task.name)()
    scene._partially_observable = task.goal_hidden
    scene.__dict__.pop("sawyer_observation_space", None)  # cached in the constructor with a goal fixed at zero
    scene._freeze_rand_vec, scene.seeded_rand_vec, scene._set_task_called = False, True, True
    return scene
