"""`python -m qtx_ros.study.worker FOLDER SETS run KEY [--keep] [FOLDER …]` or `… data OPERATOR`: one job of a study."""

from __future__ import annotations

import sys
from pathlib import Path

from qtx_ros.errors import QtxError
from qtx_ros.study.data import make_data
from qtx_ros.study.work import do_run, read_study


def main(argv: list[str]) -> int:
    """Do one job; 0, or 1 after one sentence."""
    folder, sets, what, name, *more = argv
    try:
        study = read_study(Path(folder))
        if what == "data":
            make_data(study, name, Path(sets))
        else:
            others = [Path(other) for other in more if other != "--keep"]
            do_run(study.run(name), Path(folder), Path(sets), "--keep" in more, others)
    except QtxError as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{error.name!r} is not installed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
