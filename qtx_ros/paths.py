"""Where the package's own files live: a source tree, a wheel, or a colcon install."""

from __future__ import annotations

from pathlib import Path

from qtx_ros.errors import QtxError

_PACKAGE = Path(__file__).resolve().parent


def share_roots() -> list[Path]:
    """Folders that may hold `msg/ srv/ config/ models/ launch/`, nearest first."""
    roots = [_PACKAGE.parent, _PACKAGE / "share"]
    try:
        from ament_index_python.packages import get_package_share_directory

        roots.append(Path(get_package_share_directory("qtx_ros")))
    except (ImportError, LookupError):
        pass
    return roots


def share(relative: str) -> Path:
    """Path of a shipped file or folder such as `config/robot/sawyer_sim.yaml`."""
    roots = share_roots()
    for root in roots:
        if (root / relative).exists():
            return root / relative
    raise QtxError(f"{relative!r} is not shipped with qtx_ros (looked in {', '.join(map(str, roots))})")
