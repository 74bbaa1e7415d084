"""Which version of the code this is."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from qtx_ros import __version__

ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """The git commit of the source tree; outside of one, the package's version.

    Where files differ from the commit a + and 6 digits of the difference follow.
    """
    try:
        found = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("diff", "HEAD", "--binary")
        return found + (f"+{hashlib.sha256(changed.encode()).hexdigest()[:6]}" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
