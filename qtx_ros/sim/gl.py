"""Which OpenGL library MuJoCo renders with. Must be decided before MuJoCo is imported for the first time."""

from __future__ import annotations

import ctypes.util
import os
import sys
from pathlib import Path

from qtx_ros.errors import QtxError

REMEDY = "install the Debian package libosmesa6, or libegl1 where there is a GPU"


def choose() -> str:
    """Set MUJOCO_GL unless the user did; returns it ("" on systems with a window system of their own).

    EGL where a GPU's device file exists, otherwise OSMesa; "disable" where neither library is installed: physics then
    still runs, rendering raises.
    """
    if "MUJOCO_GL" not in os.environ and sys.platform.startswith("linux"):
        os.environ["MUJOCO_GL"] = _backend()
    return os.environ.get("MUJOCO_GL", "")


def check() -> None:
    """Raise QtxError if nothing can be rendered."""
    if choose().lower() in ("disable", "disabled", "off", "false", "0"):
        raise QtxError(f"no library for rendering without a screen was found, neither OSMesa nor EGL: {REMEDY}")


def _backend() -> str:
    has_gpu = Path("/dev/nvidia0").exists() or Path("/dev/dri/renderD128").exists()
    order = ("egl", "osmesa") if has_gpu else ("osmesa", "egl")
    libraries = {"egl": "EGL", "osmesa": "OSMesa"}
    return next((name for name in order if ctypes.util.find_library(libraries[name])), "disable")
