"""`qtx study NAME`: methods × data × training seeds, trained and measured in closed loop, compared by seed."""

from __future__ import annotations

import argparse

from qtx_ros.sub_verbs import add_names, run_named

VERBS = {
    "run": "train and evaluate whatever is missing of a study",
    "report": "tables, tests over seeds and plots of a study",
    "peers": "make the environment in which d3rlpy trains",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_names(parser, __name__, VERBS)


def main(arguments: argparse.Namespace) -> int:
    """Run one of them; its exit status."""
    return run_named(arguments, __name__)
