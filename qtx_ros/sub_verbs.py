"""`qtx VERB NAME`: verbs that are a table of modules, each with `add_arguments(parser)` and `main(args) -> int`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping


def add_names(parser: argparse.ArgumentParser, package: str, table: Mapping[str, str]) -> None:
    """Offer every module of `table` (name → help) in `package`."""
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, text in table.items():
        sub = names.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        importlib.import_module(f"{package}.{name}").add_arguments(sub)


def run_named(arguments: argparse.Namespace, package: str) -> int:
    """Run the chosen module; its exit status."""
    return importlib.import_module(f"{package}.{arguments.name}").main(arguments)
