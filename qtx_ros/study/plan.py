"""A study: mixes of data × methods × training seeds. A YAML in `config/study/`, and the runs it asks for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qtx_ros import config as configs
from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.spec import Spec

if TYPE_CHECKING:
    from qtx_ros.learn.settings import TrainConfig

ARENAS = {"arm": "qtx_ros.study.arm", "maze2d": "qtx_ros.study.maze2d"}  # where data comes from and policies are tried
METHODS = {  # what each method's training differs in
    "q": {"method": "q"},
    "bc-demos": {"method": "bc", "episodes": "demonstrations"},
    "bc-successes": {"method": "bc", "episodes": "success"},
    "bc-all": {"method": "bc"},
    "iql": {"method": "iql", "model": {"actor": True}},
    "cql": {"method": "cql"},
    "dt": {"method": "dt", "model": {"returns": True}},
}
DECIDERS = ("bundle", "torch")
PEER = "d3rlpy-"  # methods of another library, trained in its own environment
PEERS = tuple(PEER + name for name in ("bc", "iql", "cql", "dt"))
NAME = re.compile(r"[A-Za-z0-9_+-]*")


@dataclass(frozen=True)
class Row:
    """Some of the mixes and methods, with something changed."""

    name: str = ""  # of what is changed; empty: nothing
    mixes: tuple[str, ...] = ()  # empty: all
    methods: tuple[str, ...] = ()  # empty: all
    bins: int | None = None  # of every action dimension, instead of the robot's
    history: int | None = None  # ticks the policy remembers, instead of the robot's
    curve: float | None = None  # of every action dimension, instead of the robot's
    training: dict = field(default_factory=dict)  # keys of TrainConfig
    against: str = ""  # name of the row that the report compares it with; empty: nothing changed


@dataclass(frozen=True)
class Study:
    """What is compared. `training`, then `settings` of the method, then the row's `training` change `base`."""

    name: str
    robot: str  # robot YAML, or the name of a shipped one
    mixes: dict  # name → operator → episodes per task
    methods: tuple[str, ...]
    arena: str = "arm"
    base: str = "paper"  # training YAML, or the name of a shipped one
    training: dict = field(default_factory=dict)  # keys of TrainConfig
    settings: dict = field(default_factory=dict)  # method → keys of TrainConfig, of a peer: of PeerConfig
    rows: tuple[Row, ...] = (Row(),)
    seeds: str = "1-5"  # of the trainings
    tasks: tuple[str, ...] = ("drawer-open", "window-open", "button-press-topdown", "door-open")
    episodes: int = 50  # to evaluate per task
    horizon: int = 70  # ticks until an episode counts as failed
    evaluation_seed: int = 50_000  # of the first episode
    decide: str = DECIDERS[0]  # what is tried: the exported bundle, or torch: the network as it is, for a few episodes
    data_seed: int = 100_000

    def __post_init__(self) -> None:
        check_choice("arena", [self.arena], ARENAS)
        check_choice("decide", [self.decide], DECIDERS)
        check_choice("methods", [*self.methods, *self.settings], (*METHODS, *PEERS))
        for row in self.rows:
            check_choice(f"row {row.name!r}: mixes", row.mixes, self.mixes)
            check_choice(f"row {row.name!r}: methods", row.methods, (*METHODS, *PEERS))
            check_choice(f"row {row.name!r}: against", filter(None, [row.against]), [other.name for other in self.rows])
        for name in (*self.mixes, *(row.name for row in self.rows)):
            if not NAME.fullmatch(name):
                raise QtxError(f"{name!r} is no name for a file, expected letters, digits, '_', '+' and '-'")
        names = [run.key for run in self.runs()]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise QtxError(f"the rows ask for {double[0]} twice, give them different names")

    def runs(self) -> list[Run]:
        """All runs, seed by seed, so that whatever is done first can be compared."""
        return [
            Run(self, row, mix, method, seed)
            for seed in parse_seeds(self.seeds)
            for row in self.rows
            for mix in row.mixes or self.mixes
            for method in row.methods or self.methods
        ]

    def run(self, key: str) -> Run:
        """The run with this key, whatever its seed; QtxError if there is none."""
        group, _, seed = key.rpartition(".")
        for run in self.runs():
            if run.group == group and seed.isdigit():
                return dataclasses.replace(run, seed=int(seed))
        raise QtxError(f"study {self.name!r} has no run {key!r}")

    def operators(self) -> dict[str, int]:
        """Episodes per task that are needed of each operator."""
        counts: dict[str, int] = {}
        for mix in self.mixes.values():
            for operator, count in mix.items():
                counts[operator] = max(count, counts.get(operator, 0))
        return counts


@dataclass(frozen=True)
class Run:
    """One training and its evaluation."""

    study: Study
    row: Row
    mix: str
    method: str
    seed: int

    @property
    def key(self) -> str:
        """Its name, unique within the study: what is compared, then the seed."""
        return f"{self.group}.{self.seed}"

    @property
    def group(self) -> str:
        """What runs that differ in their seed only have in common."""
        return group_name(self.mix, self.method, self.row.name)

    @property
    def peer(self) -> bool:
        """Trained by another library."""
        return self.method.startswith(PEER)

    def spec(self) -> Spec:
        """The robot, with the row's bins, curve and history."""
        return changed_spec(Spec.load(self.study.robot), self.row.bins, self.row.history, self.row.curve)

    def settings(self) -> dict:
        """What is set, as a plain mapping."""
        study, given = self.study, dict(self.study.settings.get(self.method, {}))
        if self.peer:
            return given
        parts = (_base(study.base), study.training, METHODS[self.method], given, self.row.training)
        merged: dict = {}
        for part in parts:
            merged = merge(merged, part)
        return merged

    def config(self) -> TrainConfig:
        """The training's configuration; QtxError for an unknown key."""
        from qtx_ros.learn.settings import TrainConfig

        return configs.build(TrainConfig, self.settings(), f"study {self.study.name!r}, {self.group}")

    def computes(self) -> str:
        """What decides the result beside the data and the code: runs that say the same of the same data are one."""
        settings = self.settings() if self.peer else {**changes(self.config()), "episodes": ""}
        return json.dumps([settings, self.seed, self.spec().digest()], sort_keys=True)

    def digest(self) -> str:
        """12 digits of all that decides the result but the seed and the code; keys at their default do not count."""
        study = self.study
        settings = self.settings() if self.peer else changes(self.config())
        told = [settings, self.spec().digest(), study.mixes[self.mix], study.tasks, study.episodes, study.horizon]
        told += [study.arena, study.evaluation_seed, study.data_seed]
        told += [] if study.decide == DECIDERS[0] else [study.decide]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def load_study(path: str | Path) -> Study:
    """Read a study YAML: a path, or the name of a shipped one such as `arm_state`."""
    text = str(path)
    if "/" not in text and not text.endswith((".yaml", ".yml", ".json")):
        path = share(f"config/study/{text}.yaml")
    return configs.build(Study, {"name": Path(path).stem, **configs.read(path)}, str(path))


def parse_seeds(text: str) -> list[int]:
    """`1-3,7` → 1, 2, 3, 7."""
    seeds: list[int] = []
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise QtxError(f"seeds are {text!r}, expected something like 1-5 or 1,2,7")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def group_name(mix: str, method: str, variant: str) -> str:
    """What the runs that differ in their seed only are called; `variant` is the row's name, often empty."""
    return ".".join(filter(None, (mix, method, variant)))


def changed_spec(spec: Spec, bins: int | None, history: int | None, curve: float | None = None) -> Spec:
    """The robot with as many bins and such a curve in every action dimension, and ticks of history, where given."""
    changes = {key: value for key, value in (("bins", bins), ("curve", curve)) if value is not None}
    commands = tuple(
        dataclasses.replace(c, dimensions=tuple(dataclasses.replace(d, **changes) for d in c.dimensions))
        for c in spec.commands
    )
    return dataclasses.replace(spec, commands=commands, history=history or spec.history)


def merge(first: dict, second: dict) -> dict:
    """Both mappings, inner ones merged too; the second one wins."""
    both = dict(first)
    for key, value in second.items():
        inner = isinstance(value, dict) and isinstance(first.get(key), dict)
        both[key] = merge(first[key], value) if inner else value
    return both


def changes(config: object) -> dict:
    """The keys of a dataclass that are not at their default, as a plain mapping; inner dataclasses too."""
    found = {}
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            value = changes(value)
            if value:
                found[entry.name] = value
        elif value != entry.default:
            found[entry.name] = value
    return found


def _base(name: str) -> dict:
    path = share(f"config/train/{name}.yaml") if "/" not in name else name
    return configs.read(path)


def check_choice(what: str, values: Iterable[str], known: Iterable[str]) -> None:
    """QtxError for a value that is not among the known ones."""
    for value in values:
        if value not in known:
            raise QtxError(f"{what}: got {value!r}, expected one of {', '.join(known)}")
