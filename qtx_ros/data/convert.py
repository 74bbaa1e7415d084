"""`qtx convert`: bags → training set. Every bag is converted on its own; one that cannot be is a row, not the end."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
from tqdm import tqdm

from qtx_ros.bags.labels import LABELS
from qtx_ros.bags.marks import Mark
from qtx_ros.bags.reader import STORAGES, Bag, content_hash, open_bag
from qtx_ros.data.build import EpisodeBuilder, clipped
from qtx_ros.data.dataset import read_index, write_index
from qtx_ros.data.episode import CODECS, EpisodeWriter, read_json
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

RULES = 2  # version of the conversion rules: a change converts everything anew


@dataclass(frozen=True)
class Options:
    """What a conversion depends on besides the bag. `instruction` and `label` fill in what a bag does not say."""

    out: Path
    spec: Spec
    any_contract: bool = False  # the robot description was given, whatever the bags were recorded with
    instruction: str = ""
    label: str = ""
    codec: str = "jpeg"
    accept_flawed: bool = False  # use recordings that broke their robot's limits

    def key(self, source: str, mark: Mark) -> dict:
        """Equal keys: converting again would give the same episode."""
        mine = {"instruction": self.instruction, "label": self.label, "codec": self.codec, "rules": RULES}
        return {"sha256": source, "mark": mark.episode, "spec_digest": self.spec.digest(), **mine}


@dataclass(frozen=True)
class Row:
    """One line of the summary."""

    bag: str
    status: str  # converted, unchanged, discarded, failed
    reason: str = ""
    episode: str = ""
    label: str = ""
    steps: int = 0
    invalid: int = 0
    clipped: float = 0.0  # share of steps with an action outside the bins
    recorded: float = 0.0  # [s]
    took: float = 0.0  # [s]
    problems: dict = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag directory or file, or a folder of bags")
    parser.add_argument("-o", "--out", required=True, metavar="DATASET", help="folder of the training set")
    parser.add_argument("--robot", help="robot description (YAML or shipped name); default: the contract in the bag")
    parser.add_argument("--instruction", default="", help="for bags that hold none")
    parser.add_argument("--label", default="", choices=["", *LABELS], help="for bags that hold none")
    parser.add_argument("--accept-flawed", action="store_true", help="use recordings that broke their robot's limits")
    parser.add_argument("--codec", default="jpeg", choices=CODECS, help="how frames are stored (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: one for each core)")


def main(args: argparse.Namespace) -> int:
    bags = find_bags(args.bags)
    out = Path(args.out)
    spec = _spec(args.robot, out, bags)
    options = Options(out, spec, args.robot is not None, args.instruction, args.label, args.codec, args.accept_flawed)
    rows = convert(bags, options, args.jobs or os.cpu_count() or 1)
    print(table(rows))
    return int(any(row.status == "failed" for row in rows))


def convert(bags: Sequence[Path], options: Options, jobs: int = 1) -> list[Row]:
    """Convert bags into `options.out`, which may hold episodes already; returns a row for each episode or bag."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    if (out / "dataset.json").exists() and read_index(out)[0].digest() != options.spec.digest():
        raise QtxError(f"{out} was converted for another robot description, choose another folder")
    write_index(out, options.spec)
    rows: list[Row] = []
    with tqdm(total=len(bags), unit="bag", desc="convert", disable=None) as bar:
        for new in _each(bags, options, jobs):
            rows += new
            write_index(out, options.spec)
            bar.update()
    return rows


def _each(bags: Sequence[Path], options: Options, jobs: int) -> Iterator[list[Row]]:
    names = _names(bags)
    if min(jobs, len(bags)) < 2:
        yield from map(convert_bag, bags, names, [options] * len(bags))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(bags)), spawn, cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(convert_bag, bags, names, [options] * len(bags))


def convert_bag(path: Path, name: str, options: Options) -> list[Row]:
    """Convert every episode of one bag to episodes called `name`, or `name.episode` if it holds several."""
    rows = []
    try:
        source = content_hash(path)
        with open_bag(path) as bag:
            marks = bag.marks() or [Mark()]
            for mark in marks:
                try:
                    episode = name if len(marks) == 1 else f"{name}.{_clean(mark.episode)}"
                    rows.append(_convert_episode(bag, mark, episode, source, options))
                except QtxError as error:
                    rows.append(Row(str(path), "failed", str(error), mark.episode))
    except (QtxError, OSError) as error:
        rows.append(Row(str(path), "failed", str(error)))
    return rows


def _convert_episode(bag: Bag, mark: Mark, name: str, source: str, options: Options) -> Row:
    started = time.perf_counter()
    name = _free(options.out, name, bag.path, source)
    key = options.key(source, mark)
    mark = replace(mark, label=mark.label or options.label)
    if mark.label == "discard":
        shutil.rmtree(options.out / name, ignore_errors=True)
        return Row(str(bag.path), "discarded", episode=name, label=mark.label)
    if not mark.accepted and not options.accept_flawed:
        broken = "; ".join(mark.problems)
        raise QtxError(f"{bag.path} broke its robot's limits: {broken}; use it with qtx label --accept")
    if mark.contract and not options.any_contract and Spec.from_json(mark.contract).digest() != options.spec.digest():
        raise QtxError(f"{bag.path} was recorded with another robot description, name one with --robot")
    done = options.out / name / "manifest.json"
    if done.exists() and (manifest := read_json(done)).get("source", {}).get("key") == key:
        return _row(bag, name, manifest, "unchanged", time.perf_counter() - started)
    writer = EpisodeWriter(options.out, name, options.spec, options.codec)
    try:
        builder = EpisodeBuilder(options.spec, writer)
        for topic, receive_ns, msg in bag.messages(options.spec, mark):
            builder.push(topic, receive_ns, msg)
        columns, facts = builder.finish(mark)
    except BaseException:
        writer.abort()
        raise
    facts["instruction"] = mark.instruction or builder.instruction or options.instruction
    facts["clipped"] = clipped(options.spec, columns)
    facts["source"] = {"bag": str(bag.path.resolve()), "key": key, "comment": mark.comment}
    manifest = writer.finish(columns, facts)
    return _row(bag, name, manifest, "converted", time.perf_counter() - started, columns.tick)


def _row(bag: Bag, name: str, manifest: dict, status: str, took: float, ticks=()) -> Row:
    return Row(
        bag=str(bag.path),
        status=status,
        episode=name,
        label=manifest["label"],
        steps=manifest["steps"],
        invalid=manifest["steps"] - manifest["valid_steps"],
        clipped=manifest["clipped"],
        recorded=(ticks[-1] - ticks[0]) / 1e9 if len(ticks) else 0.0,
        took=took,
        problems=manifest["invalid"],
    )


def _names(bags: Sequence[Path]) -> list[str]:
    """A name for each bag: its own; with its folder's name before it where two bags have one name."""
    own = [_clean(bag.resolve().name if bag.is_dir() else bag.stem) for bag in bags]
    longer = [_clean(f"{bag.resolve().parent.name}_{name}") for bag, name in zip(bags, own, strict=True)]
    names = [long if Counter(own)[name] > 1 else name for name, long in zip(own, longer, strict=True)]
    return [f"{n}-{_short(bag)}" if Counter(names)[n] > 1 else n for n, bag in zip(names, bags, strict=True)]


def _free(out: Path, name: str, bag: Path, source: str) -> str:
    """The name, or a longer one if the training set has an episode of that name from another bag."""
    path = out / name / "manifest.json"
    if not path.exists():
        return name
    other = read_json(path).get("source", {})
    ours = other.get("bag") == str(bag.resolve()) or other.get("key", {}).get("sha256") == source
    return name if ours else f"{name}-{_short(bag)}"


def _clean(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "episode"


def _short(bag: Path) -> str:
    return hashlib.sha256(str(bag.resolve()).encode()).hexdigest()[:8]


def find_bags(paths: Sequence[str | Path]) -> list[Path]:
    """The bags meant by the given paths: each a bag, or a folder whose direct subfolders and files are bags."""
    bags: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise QtxError(f"there is no bag {path}")
        found = [path] if path.is_file() or _is_bag(path) else [p for p in sorted(path.iterdir()) if _is_bag(p)]
        if not found:
            raise QtxError(f"{path} is not a bag and holds none")
        bags += found
    return list(dict.fromkeys(bags))


def _is_bag(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_file():
        return path.suffix in STORAGES
    return (path / "metadata.yaml").exists() or any((path / f"{path.name}_0{end}").exists() for end in STORAGES)


def _spec(robot: str | None, out: Path, bags: Sequence[Path]) -> Spec:
    """The robot description: the one named, that of the existing training set, or the contract in a bag."""
    if robot is not None:
        return Spec.load(robot)
    if (out / "dataset.json").exists():
        return read_index(out)[0]
    for path in bags:
        try:
            with open_bag(path) as bag:
                contracts = [mark.contract for mark in bag.marks() if mark.contract]
        except QtxError:
            continue
        if contracts:
            return Spec.from_json(contracts[0], f"the contract in {path}")
    raise QtxError(f"none of {len(bags)} bags holds a robot's contract, name the robot's YAML with --robot")


def table(rows: Sequence[Row]) -> str:
    """The summary: a line for each episode or bag, a total, and the reasons for what failed or is invalid."""
    lines = [f"{'episode':32} {'status':10} {'label':8} {'steps':>6} {'invalid':>7} {'clipped':>7} {'× real time':>11}"]
    for row in rows:
        speed = f"{row.recorded / row.took:.0f}" if row.status == "converted" and row.took else ""
        name = (row.episode or Path(row.bag).name)[-32:]
        numbers = f"{row.steps:6} {row.invalid:7} {row.clipped:7.1%}" if row.steps else f"{'':6} {'':7} {'':7}"
        lines.append(f"{name:32} {row.status:10} {row.label:8} {numbers} {speed:>11}")
    done = [row for row in rows if row.steps]
    steps, invalid = sum(row.steps for row in done), sum(row.invalid for row in done)
    lines.append(f"{len(done)} episodes, {steps} steps, {invalid} invalid, {steps - invalid} usable")
    lines += [f"failed: {row.bag}: {row.reason}" for row in rows if row.status == "failed"]
    problems: dict[str, int] = {}
    for row in done:
        for sentence, count in row.problems.items():
            problems[sentence] = problems.get(sentence, 0) + count
    worst = sorted(problems.items(), key=lambda item: -item[1])[:8]
    lines += [f"invalid: {count} x {sentence}" for sentence, count in worst]
    return "\n".join(lines)
