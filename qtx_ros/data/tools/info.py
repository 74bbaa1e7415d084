"""`qtx data info SET…`: what training sets hold, read from their manifests alone."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from qtx_ros.data.index import read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.spec import Spec

MANY = 12  # instructions listed per set


@dataclass(frozen=True)
class Info:
    """One training set. `labels` and `instructions` say how many episodes have them."""

    set: str
    robot: str
    digest: str  # of the robot description
    rate: float  # [Hz]
    episodes: int
    steps: int
    valid_steps: int
    minutes: float
    bytes: int
    labels: dict[str, int]
    instructions: dict[str, int]
    codecs: dict[str, int]
    cameras: dict[str, list[int]]  # name → height, width [px]
    state: list[str]
    actions: dict[str, dict]  # dimension → low, high, bins, mode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="folder of a training set")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of text")


def main(args: argparse.Namespace) -> int:
    found = [info(folder) for folder in args.sets]
    print(json.dumps([asdict(one) for one in found], indent=1) if args.json else text(found))
    return 0


def info(folder: Path) -> Info:
    """Read the manifests of a training set. QtxError for one that cannot be read."""
    spec, names = read_index(folder)
    manifests = [read_manifest(folder / name) for name in names]
    steps = sum(m["steps"] for m in manifests)
    return Info(
        set=str(folder),
        robot=spec.name,
        digest=spec.digest(),
        rate=spec.rate,
        episodes=len(names),
        steps=steps,
        valid_steps=sum(m["valid_steps"] for m in manifests),
        minutes=round(steps / spec.rate / 60, 3),
        bytes=sum(entry["bytes"] for m in manifests for entry in m["files"].values()),
        labels=_counts(m["label"] for m in manifests),
        instructions=_counts(m["instruction"] for m in manifests),
        codecs=_counts(m["codec"] for m in manifests),
        cameras={c.name: [c.height, c.width] for c in spec.cameras},
        state=list(spec.state_names),
        actions=_dimensions(spec),
    )


def _counts(values) -> dict[str, int]:
    """The most frequent first, equals by name."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _dimensions(spec: Spec) -> dict[str, dict]:
    return {d.name: {"low": d.low, "high": d.high, "bins": d.bins, "mode": d.mode} for d in spec.dimensions}


def text(found: list[Info]) -> str:
    """A table with a line for each set, then each in detail."""
    width = max(12, *(len(one.set) for one in found))
    lines = [f"{'set':{width}} {'episodes':>8} {'steps':>9} {'valid':>6} {'minutes':>8} {'MB':>8}  robot"]
    for one in found:
        valid = f"{one.valid_steps / one.steps:6.1%}" if one.steps else f"{'':6}"
        sizes = f"{one.episodes:8} {one.steps:9} {valid} {one.minutes:8.1f} {one.bytes / 1e6:8.1f}"
        lines.append(f"{one.set:{width}} {sizes}  {one.robot} {one.digest[:12]}")
    for one in found:
        lines += ["", *_details(one)]
    return "\n".join(lines)


def _details(one: Info) -> list[str]:
    labels = ", ".join(f"{count} {label or 'without a label'}" for label, count in one.labels.items())
    asked = [f"{count} “{text or 'none'}”" for text, count in one.instructions.items()]
    more = f" and {len(asked) - MANY} more" if len(asked) > MANY else ""
    cameras = ", ".join(f"{name} {height}×{width}" for name, (height, width) in one.cameras.items())
    actions = [f"{n} [{d['low']:g}, {d['high']:g}] {d['bins']} bins {d['mode']}" for n, d in one.actions.items()]
    return [
        one.set,
        f"  robot         {one.robot}, {one.rate:g} Hz, digest {one.digest}",
        f"  labels        {labels or 'none'}",
        f"  instructions  {', '.join(asked[:MANY])}{more}",
        f"  cameras       {cameras}, {', '.join(one.codecs) or 'no frames'}",
        f"  state         {', '.join(one.state)}",
        *(f"  {'actions' if i == 0 else '':13} {line}" for i, line in enumerate(actions)),
    ]
