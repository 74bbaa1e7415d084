"""A job of a study in its own process: `worker FOLDER SETS run KEY [--keep] [--known FOLDER …]`, `… data OPERATOR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qtx_ros.errors import QtxError
from qtx_ros.study.data import make_data
from qtx_ros.study.work import do_run, read_study


def main(argv: list[str]) -> int:
    """Do one job; 0, or 1 after one sentence."""
    args = _arguments().parse_args(argv)
    try:
        study = read_study(args.folder)
        if args.what == "data":
            make_data(study, args.name, args.sets)
        else:
            do_run(study.run(args.name), args.folder, args.sets, args.keep, args.known)
    except QtxError as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{error.name!r} is not installed", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("what", choices=["data", "run"])
    parser.add_argument("name")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--known", type=Path, nargs="+", default=[])
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
