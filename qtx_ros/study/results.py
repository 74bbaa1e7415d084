"""The results of a study: a CSV with one row per run, replaced as a whole under a lock."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from qtx_ros.errors import QtxError
from qtx_ros.files import alone, write_atomically
from qtx_ros.study.plan import group_name

RESULTS = "results.csv"
KEYS = ("study", "mix", "method", "variant", "seed")
FACTS = (
    "episodes", "steps", "batch_size", "bins", "history", "parameters", "train_s", "cpu_s", "eval_s", "data_digest",
    "config_digest", "commit", "overrides",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One row."""

    keys: dict[str, str]  # of KEYS
    scores: dict[str, float]  # task → success rate, or another score
    facts: dict[str, str]  # of FACTS

    @property
    def mean(self) -> float:
        """Mean score over the tasks."""
        return sum(self.scores.values()) / len(self.scores)

    @property
    def seed(self) -> int:
        return int(self.keys["seed"])

    @property
    def group(self) -> str:
        """As `plan.Run.group`."""
        return group_name(self.keys["mix"], self.keys["method"], self.keys["variant"])

    @property
    def key(self) -> str:
        """As `plan.Run.key`."""
        return f"{self.group}.{self.seed}"


def read_results(folder: Path) -> list[Result]:
    """All rows of a study's folder; none if nothing is done yet. QtxError for a file that is something else."""
    path = Path(folder) / RESULTS
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or ()
        tasks = [name for name in names if name not in (*KEYS, *FACTS, "mean")]
        if not {*KEYS, *FACTS, "mean"} <= set(names) or not tasks:
            raise QtxError(f"{path} has the columns {', '.join(names)}, expected those of a study")
        return [_result(row, tasks) for row in reader]


def _result(row: dict[str, str], tasks: list[str]) -> Result:
    scores = {task: float(row[task]) for task in tasks}
    return Result({key: row[key] for key in KEYS}, scores, {key: row[key] for key in FACTS})


def add_result(folder: Path, result: Result) -> None:
    """Put one row into the folder's CSV, instead of that run's if there is one; all or nothing, also when killed."""
    folder = Path(folder)
    with alone(folder / RESULTS):
        rows = [row for row in read_results(folder) if row.key != result.key]
        write_results(folder / RESULTS, [*rows, result])


def write_results(path: Path, results: list[Result]) -> None:
    """Write a CSV, rows in the order of mix, method, variant and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tasks = list(results[0].scores)
    writer.writerow([*KEYS, *tasks, "mean", *FACTS])
    for result in sorted(results, key=lambda r: (r.group, r.seed)):
        if set(result.scores) != set(tasks):
            raise QtxError(f"{path}: {result.key} has the tasks {', '.join(result.scores)}, not {', '.join(tasks)}")
        scores = [f"{score:.6g}" for score in (*(result.scores[task] for task in tasks), result.mean)]
        writer.writerow([*result.keys.values(), *scores, *(result.facts[key] for key in FACTS)])
    write_atomically(path, text.getvalue().encode())
