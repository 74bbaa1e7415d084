"""`qtx data NAME`: look at training sets, put them together, take them apart, check them."""

from __future__ import annotations

import importlib

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


def add_arguments(parser) -> None:
    names = parser.add_subparsers(dest="tool", metavar="NAME", required=True)
    for name, text in TOOLS.items():
        sub = names.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        importlib.import_module(f"qtx_ros.data.tools.{name}").add_arguments(sub)


def main(arguments) -> int:
    """Run one tool; its exit status."""
    return importlib.import_module(f"qtx_ros.data.tools.{arguments.tool}").main(arguments)
