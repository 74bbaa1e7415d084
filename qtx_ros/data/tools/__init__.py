"""`qtx data NAME`: look at training sets, put them together, take them apart, check them."""

from __future__ import annotations

import argparse

from qtx_ros.sub_verbs import add_names, run_named

TOOLS = {
    "info": "what a training set holds",
    "view": "pictures of a training set or of an episode: a contact sheet or a video",
    "merge": "several training sets into one",
    "split": "a training set into two, by a stratified draw or by names",
    "export": "a training set as a LeRobot v3 dataset",
    "import": "a LeRobot dataset as a training set",
    "verify": "compare every byte of a training set with its hashes",
    "report": "write report.html of a training set anew",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_names(parser, __name__, TOOLS)


def main(arguments: argparse.Namespace) -> int:
    """Run one tool; its exit status."""
    return run_named(arguments, __name__)
