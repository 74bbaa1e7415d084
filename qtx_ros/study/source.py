"""Which version of the code this is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from qtx_ros import __version__

ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """The git commit of the source tree, with a + if files differ from it; outside of one, the package's version."""
    try:
        found = _git("rev-parse", "--short=10", "HEAD")
        return found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
