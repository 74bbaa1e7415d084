"""`qtx label`: says how a recorded episode went, or shows what was said. The recording itself is never touched."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

from qtx_ros.bags.labels import ENDS, LABELS, Label, add_label, current, read_labels
from qtx_ros.bags.marks import Mark
from qtx_ros.bags.reader import open_bag
from qtx_ros.errors import QtxError

SAYS = ("label", "reward", "end", "instruction", "comment", "interventions", "accept")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="bag directory or file")
    parser.add_argument("--label", choices=LABELS, help="how it went")
    parser.add_argument("--reward", type=float, help="of the last step, instead of 1 for a success and 0 for a failure")
    parser.add_argument("--end", choices=ENDS, help="whether the episode ended by itself or was cut")
    parser.add_argument("--instruction", metavar="TEXT", help="what the robot was told to do")
    parser.add_argument("--comment", metavar="TEXT", help="for humans")
    parser.add_argument(
        "--intervention", dest="interventions", type=float, nargs=2, action="append", metavar=("FROM", "TO"),
        help="a human drove [s since the start of the episode]; may be given several times",
    )  # fmt: skip
    accept = parser.add_mutually_exclusive_group()
    use = "use it though the recorder found something wrong"
    accept.add_argument("--accept", action="store_true", default=None, help=use)
    accept.add_argument("--refuse", dest="accept", action="store_false", help="do not use it")
    parser.add_argument("--episode", default="", metavar="NAME", help="one of several in a bag (default: all)")
    parser.add_argument("--by", default="", metavar="NAME", help="who says so (default: user@host)")


def main(args: argparse.Namespace) -> int:
    said = {key: getattr(args, key) for key in SAYS if getattr(args, key) is not None}
    for bag in args.bags:
        marks = episodes(bag, args.episode)
        if said:
            add_label(bag, entry(said, marks, args.episode, args.by))
            marks = episodes(bag, args.episode)
        print(describe(bag, marks))
    return 0


def episodes(bag: Path, episode: str = "") -> list[Mark]:
    """The episodes of a bag after all that was said, with the time they start; QtxError if the named one is not there.
    """
    with open_bag(bag) as opened:
        marks = opened.marks() or [Mark(current(read_labels(bag)).episode)]
        marks = [replace(mark, start_ns=mark.start_ns or opened.start_ns) for mark in marks]
    names = [mark.episode for mark in marks]
    if episode and episode not in names:
        raise QtxError(f"{bag} has no episode {episode!r}, it has {', '.join(map(repr, names))}")
    return [mark for mark in marks if episode in ("", mark.episode)]


def entry(said: dict, marks: Sequence[Mark], episode: str, by: str) -> Label:
    """The label to append; interventions come in seconds since the start of the episode."""
    said = dict(said)
    if "interventions" in said:
        if len(marks) != 1:
            raise QtxError(f"the bag has {len(marks)} episodes, say with --episode in which one a human drove")
        start = marks[0].start_ns or 0
        said["interventions"] = tuple((start + _ns(a), start + _ns(b)) for a, b in said["interventions"])
    return Label(**said, episode=episode, by=by)


def _ns(seconds: float) -> int:
    if not 0 <= seconds < 1e6:
        raise QtxError(f"an intervention at {seconds} s, expected seconds since the start of the episode")
    return round(seconds * 1e9)


def describe(bag: Path, marks: Sequence[Mark]) -> str:
    """What holds now, and who said what."""
    lines = [str(bag)]
    for mark in marks:
        driven = "".join(f", human {_seconds(a, mark)} to {_seconds(b, mark)} s" for a, b in mark.interventions)
        state = "" if mark.accepted else f", refused: {'; '.join(mark.problems) or 'by a label'}"
        reward = "" if mark.reward is None else f", reward {mark.reward:g}"
        parts = f"{mark.label or 'not labelled'}{reward}{', ' + mark.end if mark.end else ''}{driven}{state}"
        lines.append(f"  {mark.episode or 'episode'}: {parts}, instruction {mark.instruction!r}")
    for label in read_labels(bag):
        when = datetime.fromtimestamp(label.time / 1e9).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"  {when} {label.by or 'somebody'}: {_said(label)}")
    return "\n".join(lines)


def _said(label: Label) -> str:
    known = {f.name: getattr(label, f.name) for f in fields(label) if f.name in (*SAYS, "episode")}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value not in (None, ""))


def _seconds(time_ns: int, mark: Mark) -> str:
    return f"{(time_ns - (mark.start_ns or 0)) / 1e9:.2f}"
