"""The robot's camera: an off-screen renderer with a fixed view of the table."""

from __future__ import annotations

import mujoco
import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.sim import gl

LOOK_AT = (0.0, 0.68, 0.17)  # [m]
DISTANCE, AZIMUTH, ELEVATION = 0.95, 125.0, -32.0  # [m], [deg], [deg]


class SceneCamera:
    """Renders one scene at one size. Belongs to the thread that made it, as OpenGL contexts do."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int, show_sites: bool) -> None:
        gl.check()
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # OpenGL bindings raise types of their own, and bare exceptions
            raise QtxError(f"cannot render with MUJOCO_GL={gl.choose()!r} ({error}): {gl.REMEDY}") from error
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = [1, 1, 1, 0, 0, 0]
        self._options.sitegroup[:] = [int(show_sites), 0, 0, 0, 0, 0]
        self._view = mujoco.MjvCamera()
        self._view.lookat[:] = LOOK_AT
        self._view.distance, self._view.azimuth, self._view.elevation = DISTANCE, AZIMUTH, ELEVATION

    def render(self, data: mujoco.MjData) -> np.ndarray:
        """uint8 [height, width, 3] RGB. Shadows and reflections are off: they cost ten times the rest."""
        self._renderer.update_scene(data, camera=self._view, scene_option=self._options)
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


def with_noise(picture: np.ndarray, seed: int, step: int) -> np.ndarray:
    """The picture as a sensor sees it: each value up to one level off, uint8 like `picture`; equal for equal arguments.

    Without it a rendered scene at rest repeats its picture bit for bit, which no camera does unless it is frozen.
    """
    noise = np.random.default_rng((seed, step)).integers(-1, 2, picture.shape, np.int16)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)
