"""One run of a study: its data, its training, its evaluation, its row. Continues where a killed one stopped."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from qtx_ros import config as configs
from qtx_ros.data.dataset import Dataset
from qtx_ros.files import write_atomically
from qtx_ros.study import data
from qtx_ros.study.plan import Run, Study
from qtx_ros.study.results import FACTS, Result, add_result, read_results
from qtx_ros.study.source import commit

STUDY, RUNS, DATA = "study.json", "runs", "data"
BEGUN, PROGRESS, SCORES = "begun.json", "progress.json", "scores.json"  # of a run


def read_study(folder: Path) -> Study:
    """The study that `qtx study run` wrote into its folder."""
    return configs.load(Study, Path(folder) / STUDY)


def do_run(run: Run, folder: Path, sets: Path, keep: bool = False, others: Sequence[Path] = ()) -> Result:
    """Train, evaluate, add the row to the folder's results; `sets` holds the training sets of the operators.

    What already stands in this folder, or in one of the `others`, is taken from there.
    Afterwards only small files of the run remain, unless `keep`. What a run draws depends on its settings and seed.
    """
    place = Path(folder) / RUNS / run.key
    dataset = data.open_data(run, sets)
    digest = data.data_digest(dataset)
    code = begin(place, run, digest)
    clock = Clock(place)
    known = twin(run, folder, digest) or elsewhere(run, others, digest)
    if known is not None:
        result = _result(run, known.scores, {**known.facts, "same": known.key}, digest, code)
        add_result(folder, result)
        shutil.rmtree(place)
        return result
    if run.peer:
        from qtx_ros.study.peer import train_peer

        trained = train_peer(run, dataset, place)
    else:
        trained = train(run, dataset, place, clock)
    clock.note("evaluating", trained["steps"])
    began = time.perf_counter()
    scores = evaluate(run, place)
    facts = {**trained, "eval_s": f"{time.perf_counter() - began:.0f}", "cpu_s": f"{clock.cpu():.0f}"}
    result = _result(run, scores, facts, digest, code)
    add_result(folder, result)
    if not keep:
        shutil.rmtree(place)
    return result


def begin(place: Path, run: Run, digest: str) -> str:
    """Make the folder of a run, empty unless the same was begun there; returns which code it was begun with, and is."""
    wanted, now = {"config": run.digest(), "data": digest, "method": run.method, "seed": run.seed}, commit()
    told = _read(place / BEGUN)
    code = told.pop("commit", now)
    if told != wanted:
        shutil.rmtree(place, ignore_errors=True)
        code = now
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / BEGUN, json.dumps({**wanted, "commit": code}).encode())
    return code if code == now else f"{code}, {now}"


def twin(run: Run, folder: Path, digest: str) -> Result | None:
    """A finished row that is the same computation: another method's name for the same settings and the same data."""
    others = set() if run.peer else {other.group for other in run.study.runs() if other.group != run.group}
    wanted = digest, run.seed, commit()
    for row in read_results(folder):
        if row.group in others and _made_from(row) == wanted:
            other = run.study.run(row.key)
            if row.facts["config_digest"] == other.digest() and other.computes() == run.computes():
                return row
    return None


def _made_from(row: Result) -> tuple[str, int, str]:
    """Digest of the data, seed and code of a row."""
    return row.facts["data_digest"], row.seed, row.facts["commit"]


def elsewhere(run: Run, folders: Iterable[Path], digest: str) -> Result | None:
    """The row of another study with the same settings, data, seed and commit; its key then begins with that study."""
    settings, wanted = run.digest(), (digest, run.seed, commit())
    for row in (row for folder in folders for row in read_results(folder)):
        same = row.facts["config_digest"] == settings and (not run.peer or row.keys["method"] == run.method)
        if same and _made_from(row) == wanted:
            return dataclasses.replace(row, keys={**row.keys, "mix": f"{row.keys['study']}/{row.keys['mix']}"})
    return None


def train(run: Run, dataset: Dataset, place: Path, clock: Clock) -> dict:
    """Train with our trainer, from the last checkpoint if there is one; returns facts of the row."""
    from qtx_ros.learn import checkpoint
    from qtx_ros.learn.train import describe
    from qtx_ros.learn.trainer import Trainer, open_windows

    config, runs = run.config(), place / "run"
    begun = (runs / checkpoint.CHECKPOINT).exists()
    if not begun:
        told = {**describe(dataset, []), "data": [run.mix], "command": f"qtx study run {run.study.name}"}
        checkpoint.create_run(runs, dataset.spec, config, told, run.seed)
    trainer = Trainer(dataset.spec, config, run.seed)
    windows = open_windows(dataset, config)
    if begun:
        trainer.load(runs)
    else:
        trainer.set_statistics(windows)
    if trainer.step < config.steps:
        trainer.train(windows, runs, lambda step, scalars: clock.note("training", step))
    parameters = sum(p.numel() for p in trainer.model.parameters())
    return {
        "steps": config.steps,
        "batch_size": config.batch_size,
        "parameters": parameters,
        "train_s": f"{trainer.seconds:.0f}",
    }


def evaluate(run: Run, place: Path) -> dict[str, float]:
    """Score of each task; finished tasks are remembered in the run's folder."""
    known = _read(place / SCORES)
    driver = None
    for task in run.study.tasks:
        if task not in known:
            driver = driver or _driver(run, place)
            known[task] = data.arena(run.study).evaluate(run, task, driver)
            write_atomically(place / SCORES, json.dumps(known).encode())
    return {task: known[task] for task in run.study.tasks}


def _driver(run: Run, place: Path) -> Callable:
    """What drives: the exported bundle, which is what is shipped, and over thousands of ticks cheaper than PyTorch."""
    arena = data.arena(run.study)
    if run.peer:
        from qtx_ros.study.peer import PeerPolicy

        return arena.driver(PeerPolicy(run, place))
    if run.study.decide == "torch":
        from qtx_ros.learn.acting import NetworkPolicy
        from qtx_ros.learn.checkpoint import open_run
        from qtx_ros.learn.export import load_model

        return arena.driver(NetworkPolicy(load_model(open_run(place / "run"))[0], run.spec()))
    from qtx_ros.deploy.policy import Policy
    from qtx_ros.learn.export import export

    export(place / "run", place / "bundle", run.key)
    return arena.driver(Policy.load(place / "bundle", "cpu"))


def _result(run: Run, scores: dict[str, float], facts: dict, digest: str, code: str) -> Result:
    study, spec = run.study, run.spec()
    keys = (study.name, run.mix, run.method, run.row.name, str(run.seed))
    counts = [d.bins for d in spec.dimensions]
    told = {
        **facts,
        "episodes": study.episodes,
        "bins": int(np.max(counts)),
        "history": spec.history,
        "data_digest": digest,
        "config_digest": run.digest(),
        "commit": code,
        "overrides": _overrides(run, facts),
    }
    names = ("study", "mix", "method", "variant", "seed")
    return Result(dict(zip(names, keys, strict=True)), scores, {name: str(told[name]) for name in FACTS})


def _overrides(run: Run, facts: dict) -> str:
    """What the row changes, and whose result this is if it was not computed again."""
    robot = {"curve": run.row.curve} if run.row.curve else {}
    told = {**run.row.training, **robot, **({"same as": facts["same"]} if "same" in facts else {})}
    return json.dumps(told, sort_keys=True) if told else ""


class Clock:
    """CPU time of a run over all its parts, and how far it is, in a file that whoever waits can read."""

    def __init__(self, place: Path) -> None:
        self._path = place / PROGRESS
        self._before = read_progress(place).get("cpu_s", 0.0)
        self._start = _cpu()

    def cpu(self) -> float:
        """CPU seconds so far, also of parts that were killed, up to their last note."""
        return self._before + _cpu() - self._start

    def note(self, what: str, step: int) -> None:
        """Say what is being done."""
        write_atomically(self._path, json.dumps({"what": what, "step": step, "cpu_s": self.cpu()}).encode())


def _cpu() -> float:
    """Of this process and of those it waited for [s]."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def read_progress(place: Path) -> dict:
    """What a run last said of itself; empty if nothing."""
    return _read(place / PROGRESS)


def _read(path: Path) -> dict:
    """The object in a JSON file that a run may have left; empty if there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
