"""`qtx convert`: bags → training set. Every bag is converted on its own; one that cannot be is a row, not the end."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from qtx_ros.bags.labels import LABELS
from qtx_ros.bags.marks import parse_split
from qtx_ros.bags.reader import open_bag
from qtx_ros.data import cluster
from qtx_ros.data.conversion import Options, Row, Task, clean, convert_bag
from qtx_ros.data.episode import CODECS
from qtx_ros.data.index import INDEX, make_index
from qtx_ros.data.ledger import HELD, Ledger
from qtx_ros.data.storage import find_bags, is_url, local_bag, stamps
from qtx_ros.data.store import LocalStore, RemoteStore, open_store
from qtx_ros.data.summary import table
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

INDEX_EVERY = 5.0  # [s] between two versions of dataset.json while bags are converted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bags", nargs="+", metavar="BAG", help="bag directory or file, or a folder of bags; also s3://bucket/prefix")
    add("-o", "--out", required=True, metavar="DATASET", help="folder of the training set; also s3://bucket/prefix")
    add("--robot", help="robot description (YAML or shipped name); default: the contract in the bag")
    add("--instruction", default="", help="for bags that hold none")
    add("--label", default="", choices=["", *LABELS], help="for bags that hold none")
    add("--accept-flawed", action="store_true", help="use recordings that broke their robot's limits")
    add("--codec", default="jpeg", choices=CODECS, help="how frames are stored (default: %(default)s)")
    add("--split", default="", metavar="HOW", help="episodes of a bag: marks, none, instruction, events, gap:SECONDS")
    add("--workers", "-j", type=int, help="processes (default: one for each core)")
    add("--jobs", type=int, dest="workers", help=argparse.SUPPRESS)
    add("--ray", nargs="?", const=cluster.LOCAL, metavar="ADDRESS", help="on a Ray cluster; without address: one here")
    add("--bag-timeout", type=float, metavar="SECONDS", help="give up a bag that takes longer (default: never)")
    add("--prune", action="store_true", help="remove episodes of the set that come from none of the given bags")
    add("--json", metavar="FILE", help="write the summary as JSON, too")
    add("--no-report", action="store_true", help="do not write report.html")


def main(args: argparse.Namespace) -> int:
    if args.workers is not None and args.workers < 1:
        raise QtxError(f"--workers is {args.workers}, expected at least 1")
    parse_split(args.split)
    bags = find_bags(args.bags)
    spec = _spec(args.robot, open_store(args.out), bags)
    given = args.robot is not None
    filled = (args.instruction, args.label, args.codec, args.accept_flawed, args.split)
    options = Options(args.out, spec, given, *filled)
    workers = args.workers or os.cpu_count() or 1
    rows = convert(bags, options, workers, ray=args.ray, timeout=args.bag_timeout, prune=args.prune)
    digest = read_index(open_store(args.out))["sha256"]
    print(table(rows))
    print(f"digest of the set: {digest}")
    if args.json:
        Path(args.json).write_text(json.dumps({"sha256": digest, "rows": [asdict(row) for row in rows]}, indent=1))
    if not args.no_report and not is_url(args.out) and any(row.status in HELD for row in rows):
        from qtx_ros.data.report import write_report

        print(f"look before you train: {write_report(Path(args.out), rows)}")
    return int(any(row.status == "failed" for row in rows))


def convert(
    bags: Sequence[str | Path],
    options: Options,
    workers: int = 0,
    ray: str | None = None,
    timeout: float | None = None,
    prune: bool = False,
) -> list[Row]:
    """Convert bags into `options.out`, which may hold episodes already; returns a row for each episode or bag.

    `workers`: processes; 0: in this one. `ray`: address of a Ray cluster to use instead. `timeout`: of one bag [s].
    `prune`: remove the episodes that come from none of the bags.
    """
    run = _Run([str(bag) for bag in bags], options)
    with run.store.alone():
        run.begin()
        try:
            with closing(_map(run.tasks, workers, ray, timeout)) as results:
                run.take(results)
            if prune:
                run.prune()
        finally:
            run.end()
    return run.rows()


def _map(tasks: Sequence[Task], workers: int, ray: str | None, timeout: float | None) -> cluster.Results:
    if not tasks:
        yield from ()
    elif ray is not None:
        yield from cluster.on_ray(convert_bag, tasks, ray, workers or None, timeout)
    elif workers:
        yield from cluster.in_processes(convert_bag, tasks, workers, timeout)
    else:
        yield from enumerate(map(convert_bag, tasks))


class _Run:
    """One conversion of many bags: what is to do, what came of it, and what the set says of itself meanwhile."""

    def __init__(self, bags: Sequence[str], options: Options) -> None:
        self.bags, self.options = bags, options
        self.store: LocalStore | RemoteStore = open_store(options.out)
        self.tasks: list[Task] = []
        self._rows: dict[str, list[Row]] = {}
        self._digest = options.digest()
        self._index_due = 0.0

    def begin(self) -> None:
        """Find out which bags there is something to do for. QtxError if the set is another robot's."""
        index = read_index(self.store)
        if index and Spec.from_dict(index["spec"]).digest() != self.options.spec.digest():
            raise QtxError(f"{self.store} was converted for another robot description, choose another folder")
        self.ledger = Ledger(self.store)
        self._stamps = dict(zip(self.bags, stamps(self.bags), strict=True))
        hashes = self.store.hashes()
        for bag, name in zip(self.bags, self._names(), strict=True):
            entry = self.ledger.get(bag)
            if entry and entry.still_holds(self._stamps[bag], self._digest, hashes):
                self._rows[bag] = entry.rows_again()
            else:
                self.tasks.append(Task(bag, name, self.options, entry.episodes if entry else ()))
        if not index:
            self._write_index()

    def _names(self) -> list[str]:
        """What each bag's episodes are called: as before, else after the bag."""
        entries = [self.ledger.get(bag) for bag in self.bags]
        names = [entry.name if entry else new for entry, new in zip(entries, names_of(self.bags), strict=True)]
        return list(_numbered(names))

    def take(self, results: cluster.Results) -> None:
        """Note the rows of every bag as they come."""
        began, recorded = time.perf_counter(), 0.0
        with tqdm(total=len(self.tasks), unit="bag", desc="convert", disable=None) as bar:
            for number, result in results:
                rows = self._note(self.tasks[number], result)
                recorded += sum(row.recorded for row in rows if row.status == "converted")
                bar.set_postfix_str(f"{recorded / (time.perf_counter() - began):.0f} x real time", refresh=False)
                bar.update()
                if time.perf_counter() > self._index_due:
                    self._write_index()

    def _note(self, task: Task, result: list[Row] | cluster.Lost) -> list[Row]:
        lost = isinstance(result, cluster.Lost)
        rows = [Row(task.bag, "failed", f"{task.bag}: {result.reason}")] if lost else result
        self._rows[task.bag] = rows
        self.ledger.note(task.bag, self._stamps[task.bag], self._digest, task.name, rows)
        for name in set(task.owned) - set(self.ledger.get(task.bag).episodes):
            self.store.remove(name)
        return rows

    def prune(self) -> None:
        """Remove every episode that is none of these bags'."""
        ours = {name for bag in self.bags for name in self.ledger.get(bag).episodes}
        for name in set(self.store.hashes()) - ours:
            self.store.remove(name)

    def end(self) -> None:
        """Leave nothing half-written, and a true index."""
        self.store.sweep()
        self._write_index()

    def _write_index(self) -> None:
        """The index and the ledger; seldom enough to cost nothing."""
        began = time.perf_counter()
        index = make_index(self.options.spec, self.store.hashes())
        self.store.write(INDEX, json.dumps(index, indent=1).encode())
        self.ledger.write()
        now = time.perf_counter()
        self._index_due = now + max(INDEX_EVERY, 20 * (now - began))

    def rows(self) -> list[Row]:
        """All rows, in the order of the bags."""
        return [row for bag in self.bags for row in self._rows.get(bag, ())]


def read_index(store: LocalStore | RemoteStore) -> dict:
    """What `dataset.json` says; empty if there is none. QtxError if it is none."""
    try:
        index = json.loads(store.read(INDEX) or "{}")
    except ValueError as error:
        raise QtxError(f"{store}/{INDEX} is not valid JSON: {error}") from None
    if not isinstance(index, dict) or index and not isinstance(index.get("spec"), dict):
        raise QtxError(f"{store}/{INDEX} is not the index of a training set")
    return index


def names_of(bags: Sequence[str]) -> list[str]:
    """A name for each bag: its own; with the folders' names before it where bags have one name."""
    paths = [bag.split("://")[-1] if is_url(bag) else str(Path(bag).resolve()) for bag in bags]
    parts = [path.strip("/").split("/") for path in paths]
    for part in parts:
        part[-1] = part[-1].removesuffix(".mcap").removesuffix(".db3")
    lengths = [1] * len(bags)
    names = [clean(part[-1]) for part in parts]
    while True:
        twice = {name for name, count in Counter(names).items() if count > 1}
        longer = [i for i, name in enumerate(names) if name in twice and lengths[i] < len(parts[i])]
        if not longer:
            return list(_numbered(names))
        for i in longer:
            lengths[i] += 1
            names[i] = clean("_".join(parts[i][-lengths[i] :]))


def _numbered(names: Sequence[str]) -> Iterator[str]:
    """The names, the second of a kind with a number."""
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"


def _spec(robot: str | None, store: LocalStore | RemoteStore, bags: Sequence[str]) -> Spec:
    """The robot description: the one named, that of the existing training set, or the contract in a bag."""
    if robot is not None:
        return Spec.load(robot)
    if index := read_index(store):
        return Spec.from_dict(index["spec"], f"{store}/{INDEX}")
    for bag in bags:
        try:
            with local_bag(bag) as path, open_bag(path) as opened:
                contracts = [mark.contract for mark in opened.marks() if mark.contract]
        except QtxError:
            continue
        if contracts:
            return Spec.from_json(contracts[0], f"the contract in {bag}")
    raise QtxError(f"none of {len(bags)} bags holds a robot's contract, name the robot's YAML with --robot")
