"""`qtx data report SET…`: writes report.html anew, after a merge or a split or with a newer version."""

from __future__ import annotations

import argparse
from pathlib import Path

from qtx_ros.data.report import write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="folder of a training set")


def main(args: argparse.Namespace) -> int:
    for folder in args.sets:
        print(write_report(folder))
    return 0
