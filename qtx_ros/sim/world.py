"""The simulated robot in process: reset, command, step, look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.sim import arm, scene
from qtx_ros.sim.camera import SceneCamera, with_noise
from qtx_ros.sim.tasks import Task, find

SUB_STEP = scene.PHYSICS_STEP * scene.FRAME_SKIP  # 0.0125 s
MAX_SEED = 2**31 - 1
OBJECT = (*(f"object/position.{axis}" for axis in "xyz"), *(f"object/orientation.{axis}" for axis in "xyzw"))
HAND = tuple(f"hand/{axis}" for axis in "xyz")
_OBJECT = slice(4, 4 + len(OBJECT))  # its place in Meta-World's observation


class World:
    """A Sawyer arm at a table, driven by joint commands. Use it from one thread only.

    The gripper is a joint among the others: its position is -1 open to 1 closed; its command is a force in the same
    direction, 1 closing fully, -1 opening.
    """

    names: tuple[str, ...] = arm.NAMES
    readable: tuple[str, ...] = (*arm.NAMES, *OBJECT, *HAND)  # what `read` knows

    def __init__(self, task: str = "drawer-open", seed: int = 0) -> None:
        """`task`: a name or an instruction of `qtx_ros.sim.tasks`. Raises QtxError for an unknown one."""
        self._scenes: dict[str, object] = {}
        self._cameras: dict[tuple[str, int, int], SceneCamera] = {}
        self.reset(task, seed)

    def reset(self, task: str | None = None, seed: int = 0) -> None:
        """Start an episode: the arm at home, the scene as `seed` says. Equal seeds give equal episodes."""
        if not 0 <= seed <= MAX_SEED:
            raise QtxError(f"seed is {seed}, expected 0 to {MAX_SEED}")
        self.task: Task = self.task if task is None else find(task)
        if self.task.name not in self._scenes:
            self._scenes[self.task.name] = scene.build(self.task)
        self.scene = self._scenes[self.task.name]
        self.scene.seed(seed)
        self._privileged, _ = self.scene.reset()
        self.seed, self.success, self.steps = seed, False, 0

    def command(self, targets: Mapping[str, float], duration: float = 0.0) -> None:
        """Move the named joints to `targets` ([rad]; gripper [-1, 1]) within `duration` [s].

        The other joints keep what they do. Raises QtxError for unknown joints and for numbers that are not finite; then
        nothing changes.
        """
        joints = {name: target for name, target in targets.items() if name != arm.GRIPPER}
        gripper = targets.get(arm.GRIPPER, self.scene.gripper)
        if not np.isfinite(gripper):
            raise QtxError(f"target of {arm.GRIPPER!r} is {gripper}, expected a number in [-1, 1]")
        self.scene.controller.command(joints, duration, self._joints)
        self.scene.gripper = float(np.clip(gripper, -1.0, 1.0))

    def step(self) -> bool:
        """Advance the physics by one sub-step of 12.5 ms; True once the task is done (and from then on)."""
        self.scene.curr_path_length = 0  # Meta-World's own time limit does not apply
        self._privileged, _, _, _, info = self.scene.step(np.array([0.0, 0.0, 0.0, self.scene.gripper]))
        self.steps += 1
        self.success = self.success or bool(info["success"])
        return self.success

    @property
    def time(self) -> float:
        """Simulated time since the reset [s]."""
        return self.steps * SUB_STEP

    @property
    def _joints(self) -> np.ndarray:
        return self.scene.data.qpos[self.scene.at.position]

    @property
    def positions(self) -> np.ndarray:
        """Measured positions in the order of `names`, float64 [8]: seven joints [rad], gripper [-1, 1]."""
        fingers = self.scene.data.qpos[self.scene.at.finger_position]
        return np.append(self._joints, arm.gripper_position(fingers))

    @property
    def velocities(self) -> np.ndarray:
        """Measured velocities in the order of `names`, float64 [8] [rad/s]; gripper [1/s]."""
        fingers = self.scene.data.qvel[self.scene.at.finger_velocity]
        return np.append(self.scene.data.qvel[self.scene.at.velocity], arm.gripper_velocity(fingers))

    @property
    def privileged(self) -> np.ndarray:
        """Meta-World's observation, float64 [39]: hand, object and goal positions. For the scripted expert only."""
        return self._privileged.copy()

    @property
    def object_pose(self) -> np.ndarray:
        """The task's object in the order of `OBJECT`, float64 [7].

        Its place [m], then four numbers as Meta-World gives them: a quaternion in some scenes, zeros in others.
        """
        return self._privileged[_OBJECT].copy()

    @property
    def hand(self) -> np.ndarray:
        """Where the hand is [m], float64 [3]."""
        return self._privileged[:3].copy()

    def read(self, names: Sequence[str]) -> np.ndarray:
        """The named numbers of this moment, float64 [n]: joints as in `positions`, the object's pose, the hand."""
        values = dict(zip(self.readable, (*self.positions, *self.object_pose, *self.hand), strict=True))
        return np.array([values[name] for name in names], np.float64)

    def render(self, height: int = 128, width: int = 128) -> np.ndarray:
        """What the camera sees, uint8 [height, width, 3] RGB. Raises QtxError where nothing can be rendered."""
        key = (self.task.name, height, width)
        if key not in self._cameras:
            self._cameras[key] = SceneCamera(self.scene.model, height, width, show_sites=not self.task.goal_hidden)
        return with_noise(self._cameras[key].render(self.scene.data), self.seed, self.steps)

    def close(self) -> None:
        """Free the cameras."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras.clear()
