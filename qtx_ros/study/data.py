"""The data of a study: one training set per operator, made once, shared by all methods and seeds."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
from collections import Counter
from pathlib import Path

from qtx_ros.data.dataset import Dataset
from qtx_ros.data.episode import read_json, write_json
from qtx_ros.errors import QtxError
from qtx_ros.files import alone
from qtx_ros.spec import Spec
from qtx_ros.study.plan import ARENAS, Run, Study

TIMES = ("tick.npy", "age.npy")  # of the recording's clock, which differs between recordings of the same


def arena(study: Study):
    """The module that makes a study's data and tries its policies."""
    return importlib.import_module(ARENAS[study.arena])


def make_data(study: Study, operator: str, folder: Path) -> Path:
    """Make the operator's training set in `folder` unless it is there; returns where it is.

    If another process makes it, wait for that.
    """
    final = Path(folder) / operator
    final.parent.mkdir(parents=True, exist_ok=True)
    with alone(final):
        if final.exists():
            check_made(study, operator, folder)
        else:
            _make(study, operator, final)
    return final


def _make(study: Study, operator: str, final: Path) -> None:
    folder = final.parent
    partial = folder / f".{operator}.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        made = arena(study).make(study, operator, study.operators()[operator], partial)
        write_json(_facts_path(folder, operator), _facts(study, operator))
        os.replace(made, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_made(study: Study, operator: str, folder: Path) -> None:
    """QtxError if the training set that is there was made for other things than the study wants."""
    path = _facts_path(folder, operator)
    if not path.exists():  # made by hand, or before this was noted
        return
    found, wanted = read_json(path), _facts(study, operator)
    for key, value in wanted.items():
        if found[key] != value and not (key == "episodes" and found[key] > value):
            raise QtxError(
                f"{path.parent / operator} was made with {key} {found[key]}, study {study.name!r} has {value}: "
                "choose another folder with --data"
            )


def _facts(study: Study, operator: str) -> dict:
    """What decides an operator's training set."""
    facts = {"arena": study.arena, "robot": Spec.load(study.robot).digest(), "tasks": list(study.tasks)}
    return facts | {"horizon": study.horizon, "seed": study.data_seed, "episodes": study.operators()[operator]}


def _facts_path(folder: Path, operator: str) -> Path:
    return Path(folder) / f"{operator}.json"


def open_data(run: Run, folder: Path) -> Dataset:
    """What a run trains on: the mix's episodes, or of them what the method takes, under the run's robot."""
    from qtx_ros.learn.settings import TrainConfig
    from qtx_ros.learn.train import open_dataset

    mix, tries = run.study.mixes[run.mix], arena(run.study)
    config = TrainConfig() if run.peer else run.config()  # peers learn from everything
    shown = [operator for operator in mix if config.episodes != "demonstrations" or tries.demonstrates(operator)]
    if not shown:
        raise QtxError(f"study {run.study.name!r}: nobody demonstrates in mix {run.mix!r}, as {run.method} needs it")
    for operator in shown:
        check_made(run.study, operator, folder)
    found = open_dataset([str(Path(folder) / operator) for operator in shown], config)
    return Dataset(run.spec(), _first_of_each(found.episodes, mix))


def _first_of_each(episodes: list, counts: dict[str, int]) -> list:
    """Of each operator and instruction as many episodes as `counts` says, the first ones."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for episode in sorted(episodes, key=lambda e: (e.folder.parent.name, e.folder.name)):
        operator = episode.folder.parent.name
        place = operator, episode.manifest["instruction"]
        seen[place] += 1
        if seen[place] <= counts[operator]:
            kept.append(episode)
    return kept


def data_digest(dataset: Dataset) -> str:
    """12 digits of what is learned from: all files of the episodes but their times."""
    digest = hashlib.sha256()
    for episode in dataset.episodes:
        files = {name: entry["sha256"] for name, entry in episode.manifest["files"].items() if name not in TIMES}
        digest.update(repr(sorted(files.items())).encode())
    return digest.hexdigest()[:12]
