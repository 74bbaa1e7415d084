"""One bag → its episodes in a training set. A pure function of the bag and the options: no path, no clock, no order."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from qtx_ros.bags.marks import Mark
from qtx_ros.bags.reader import Bag, open_bag
from qtx_ros.data.build import EpisodeBuilder, clipped
from qtx_ros.data.episode import EpisodeWriter
from qtx_ros.data.storage import local_bag, recording_hash
from qtx_ros.data.store import LocalStore, RemoteStore, open_store
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

RULES = 3  # version of the conversion rules: a change converts everything anew


@dataclass(frozen=True)
class Options:
    """What a conversion depends on besides the bag. `instruction` and `label` fill in what a bag does not say."""

    out: str | Path  # folder or URL of the training set
    spec: Spec
    any_contract: bool = False  # the robot description was given, whatever the bags were recorded with
    instruction: str = ""
    label: str = ""
    codec: str = "jpeg"
    accept_flawed: bool = False  # use recordings that broke their robot's limits
    split: str = ""  # how a bag is cut into episodes, see Bag.marks; empty: as the recorder marked it

    def key(self, source: str, mark: Mark) -> dict:
        """Equal keys: converting again would give the same episode. `source` is the hash of the recording."""
        given = {"label": mark.label or self.label, "instruction": mark.instruction or self.instruction}
        fixed = {"codec": self.codec, "rules": RULES}
        return {"sha256": source, "mark": _digest(_said(mark)), "spec_digest": self.spec.digest(), **given, **fixed}

    def digest(self) -> str:
        """Equal digests: a bag that did not change gives the same rows."""
        options = {key: value for key, value in vars(self).items() if key not in ("out", "spec")}
        return _digest({**options, "spec_digest": self.spec.digest(), "rules": RULES})


@dataclass(frozen=True)
class Row:
    """One line of the summary: an episode, or a bag that gave none."""

    bag: str
    status: str  # converted, unchanged, discarded, refused, failed
    reason: str = ""
    episode: str = ""
    label: str = ""
    steps: int = 0
    invalid: int = 0
    clipped: float = 0.0  # share of steps with an action outside the bins
    recorded: float = 0.0  # [s]
    took: float = 0.0  # [s]
    problems: dict = field(default_factory=dict)
    manifest: str = ""  # SHA-256 of the episode's manifest


@dataclass(frozen=True)
class Task:
    """One bag to convert: a path or URL, what its episodes are called, and what earlier runs made of it."""

    bag: str
    name: str
    options: Options
    owned: tuple[str, ...] = ()  # episodes of the set that came from this bag before


def convert_bag(task: Task) -> list[Row]:
    """Convert every episode of a bag to episodes called `name`, or `name.episode` if it holds several.

    Raises nothing: what goes wrong is a row that says so.
    """
    try:
        with local_bag(task.bag) as path:
            try:
                return _convert_bag(path, task)
            except Exception as error:  # a stop would cost all other bags
                return [Row(task.bag, "failed", _sentence(error, path, task))]
    except Exception as error:
        return [Row(task.bag, "failed", _sentence(error, Path(task.bag), task))]


def _sentence(error: Exception, path: Path, task: Task) -> str:
    """What went wrong; a bag that was fetched to `path` goes by its URL."""
    text = " ".join(str(error).split()).replace(str(path), task.bag)
    return text if isinstance(error, QtxError) and text else f"{task.bag}: {type(error).__name__}: {text}"


def _convert_bag(path: Path, task: Task) -> list[Row]:
    rows = []
    source = recording_hash(path)
    with open_bag(path) as bag:
        marks = _marks(bag, task)
        for mark in marks:
            name = task.name if len(marks) == 1 else f"{task.name}.{clean(mark.episode)}"
            try:
                rows.append(_Episode(bag, mark, source, task).convert(name))
            except (QtxError, OSError) as error:
                rows.append(Row(task.bag, "failed", _sentence(error, path, task), mark.episode))
    return rows


def _marks(bag: Bag, task: Task) -> list[Mark]:
    """The episodes of a bag. One without marks is one episode, unless it is to be split by what it does not have."""
    split = task.options.split
    marks = bag.marks(split, task.options.spec)
    if not marks and split not in ("", "marks"):
        raise QtxError(f"{task.bag} holds no episode when it is split by {split}")
    if split.startswith(("gap", "events")):
        marks = _with_instructions(marks, bag, task.options.spec)
    return marks or [Mark()]


def _with_instructions(marks: list[Mark], bag: Bag, spec: Spec) -> list[Mark]:
    """The marks with the instruction in force when each begins: it was said before, perhaps before the silence."""
    try:
        said = bag.marks("instruction", spec)
    except QtxError:  # the bag has no such topic
        return marks
    return [replace(mark, instruction=mark.instruction or _in_force(said, mark.start_ns or 0)) for mark in marks]


def _in_force(said: list[Mark], time_ns: int) -> str:
    texts = [m.instruction for m in said if m.start_ns <= time_ns and (m.stop_ns is None or time_ns <= m.stop_ns)]
    return texts[-1] if texts else ""


class _Episode:
    """One episode of a bag on its way into the training set."""

    def __init__(self, bag: Bag, mark: Mark, source: str, task: Task) -> None:
        self.bag, self.source, self.task, self.options = bag, source, task, task.options
        self.store: LocalStore | RemoteStore = open_store(task.options.out)
        self.key = task.options.key(source, mark)
        self.mark = replace(mark, label=mark.label or task.options.label)

    def convert(self, name: str) -> Row:
        """Bring the episode into the set, unless it is there or nobody wants it. QtxError if it cannot be."""
        started = time.perf_counter()
        name, known = self._place(name)
        mark, row = self.mark, Row(self.task.bag, "", episode=name, label=self.mark.label)
        if mark.label == "discard":
            self._remove(name, known)
            return replace(row, status="discarded")
        if not mark.accepted and not self.options.accept_flawed:
            self._remove(name, known)
            why = "; ".join(mark.problems) or "a label refuses it"
            reason = f"{self.task.bag} is not accepted: {why}; use it with qtx label --accept"
            return replace(row, status="refused", reason=reason)
        self._check_contract()
        if known is not None and _key(known) == self.key:
            return _row(row, "unchanged", known)
        with self.store.workplace() as root:
            self._write(root, name)
            written = (root / name / "manifest.json").read_bytes()
            self.store.publish(root / name)
        return replace(_row(row, "converted", written), took=time.perf_counter() - started)

    def _remove(self, name: str, known: bytes | None) -> None:
        if known is not None:
            self.store.remove(name)

    def _place(self, name: str) -> tuple[str, bytes | None]:
        """Where the episode goes and the manifest that is there: a longer name if the name is another recording's."""
        known = self.store.read(f"{name}/manifest.json")
        if known is None or name in self.task.owned or _key(known).get("sha256") == self.source:
            return name, known
        longer = f"{name}-{self.source[:8]}"
        return longer, self.store.read(f"{longer}/manifest.json")

    def _check_contract(self) -> None:
        contract, options = self.mark.contract, self.options
        where = f"the contract in {self.mark.place or self.task.bag}"
        if contract and not options.any_contract and Spec.from_json(contract, where).digest() != options.spec.digest():
            raise QtxError(f"{self.task.bag} was recorded with another robot description, name one with --robot")

    def _write(self, root: Path, name: str) -> None:
        """Write the episode into `root`."""
        spec, mark = self.options.spec, self.mark
        writer = EpisodeWriter(root, name, spec, self.options.codec)
        try:
            builder = EpisodeBuilder(spec, writer)
            for topic, receive_ns, msg in self.bag.messages(spec, mark):
                builder.push(topic, receive_ns, msg)
            columns, facts = builder.finish(mark)
        except BaseException:
            writer.abort()
            raise
        facts["instruction"] = mark.instruction or builder.instruction or self.options.instruction
        facts["clipped"] = clipped(spec, columns)
        facts["seconds"] = int(columns.tick[-1] - columns.tick[0]) / 1e9
        facts["source"] = {"bag": self.bag.path.name, "key": self.key, "comment": mark.comment}
        writer.finish(columns, facts)


def _key(manifest: bytes) -> dict:
    """The key an episode was converted with; empty for a manifest that is none."""
    try:
        return dict(json.loads(manifest)["source"]["key"])
    except (ValueError, KeyError, TypeError):
        return {}


def _row(row: Row, status: str, manifest: bytes) -> Row:
    """The row with what a manifest says."""
    facts = json.loads(manifest)
    return replace(
        row,
        status=status,
        label=facts["label"],
        steps=facts["steps"],
        invalid=facts["steps"] - facts["valid_steps"],
        clipped=facts["clipped"],
        recorded=facts["seconds"],
        problems=facts["invalid"],
        manifest=hashlib.sha256(manifest).hexdigest(),
    )


def _said(mark: Mark) -> dict:
    """What a mark says that shapes the episode."""
    left_out = ("contract", "problems", "accepted", "label", "instruction", "place")
    return {key: value for key, value in asdict(mark).items() if key not in left_out}


def _digest(data: Mapping) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def clean(name: str) -> str:
    """A name fit for a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "episode"
