"""`qtx study peers`: a virtual environment with d3rlpy, which wants another gymnasium than Meta-World does."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from qtx_ros.errors import QtxError
from qtx_ros.paths import share

FOLDER = Path.home() / ".cache/qtx_ros/peers"
VARIABLE = "QTX_PEERS"  # environment variable with another folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = f"of the environment (default: ${VARIABLE}, else {FOLDER})"
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help=what)


def main(args: argparse.Namespace) -> int:
    folder = args.output or peers_folder()
    requirements = share("config/study/peers.txt")
    _call([sys.executable, "-m", "venv", str(folder)])
    _call([str(folder / "bin/pip"), "install", "--quiet", "-r", str(requirements)])
    print(f"d3rlpy → {folder}" + ("" if folder == peers_folder() else f"; export {VARIABLE}={folder}"))
    return 0


def peers_folder() -> Path:
    """Where the environment is, or is to be."""
    return Path(os.environ.get(VARIABLE, FOLDER))


def peers_python() -> str:
    """The environment's Python; QtxError if it is not there."""
    python = peers_folder() / "bin/python"
    if not python.exists():
        raise QtxError(f"{peers_folder()} has no Python: qtx study peers makes the environment of d3rlpy")
    return str(python)


def _call(command: list[str]) -> None:
    done = subprocess.run(command)
    if done.returncode:
        raise QtxError(f"{' '.join(command)} ended with status {done.returncode}")
