"""The simulated robot: a Sawyer arm in Meta-World scenes, driven by joint commands."""

from qtx_ros.sim import gl

gl.choose()  # before any module here imports MuJoCo, which reads MUJOCO_GL once
