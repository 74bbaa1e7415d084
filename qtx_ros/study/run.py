"""`qtx study run STUDY -o FOLDER`: train and evaluate what is missing; may be killed and begun again at any moment."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import os
import sys
from pathlib import Path

from qtx_ros import config as configs
from qtx_ros.errors import QtxError
from qtx_ros.files import write_atomically
from qtx_ros.study.plan import Run, Study, load_study
from qtx_ros.study.pool import Done, Job, run_jobs
from qtx_ros.study.results import RESULTS, Result, read_results
from qtx_ros.study.work import DATA, RUNS, STUDY, read_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", help="YAML, or a name in config/study")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER", help="of results, runs and data")
    parser.add_argument("--list", action="store_true", help="only show the plan and what of it is done")
    parser.add_argument("--only", metavar="PATTERN", help="runs whose name fits, such as 'stitching.*' or '*bins-255*'")
    parser.add_argument("--seeds", help="of the trainings, instead of the study's: 1-3 or 7,9")
    parser.add_argument("--episodes", type=int, help="to evaluate per task, instead of the study's")
    parser.add_argument("--workers", type=int, help="processes (default: one for each core)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="of the training sets (default: FOLDER/data)")
    known = "of other studies: what one of them has computed, with the same settings, data and commit, is taken over"
    parser.add_argument("--known", type=Path, nargs="+", default=[], metavar="FOLDER", help=known)
    parser.add_argument("--keep", action="store_true", help="keep checkpoints and bundles of finished runs")


def main(args: argparse.Namespace) -> int:
    workers = os.cpu_count() or 1 if args.workers is None else args.workers
    if workers < 1:
        raise QtxError(f"--workers is {workers}, expected at least 1")
    study = _asked(load_study(args.study), args.seeds, args.episodes)
    runs = [run for run in study.runs() if args.only is None or fnmatch.fnmatch(run.key, args.only)]
    if not runs:
        raise QtxError(f"no run fits --only {args.only!r}, they are called like {study.runs()[0].key}")
    done = finished(runs, args.output)
    if args.list:
        print(plan_table(runs, done))
        return 0
    missing = [run for run in runs if run.key not in done]
    more = [*(["--keep"] if args.keep else []), *(["--known", *map(str, args.known)] if args.known else [])]
    failed = run_missing(study, missing, done, args.output, args.data or args.output / DATA, workers, more)
    for ended in failed:
        print(f"{ended.job.name} failed: {ended.reason} (see {ended.job.log})", file=sys.stderr)
    print(f"{len(runs) - len(missing) + len(missing) - len(failed)} of {len(runs)} runs → {args.output / RESULTS}")
    return int(bool(failed))


def _asked(study: Study, seeds: str | None, episodes: int | None) -> Study:
    given = {"seeds": seeds, "episodes": episodes}
    return dataclasses.replace(study, **{key: value for key, value in given.items() if value is not None})


def finished(runs: list[Run], folder: Path) -> dict[str, Result]:
    """Rows of these runs; QtxError if one was made with other settings than the study has now."""
    rows, wanted = {result.key: result for result in read_results(folder)}, {run.key: run for run in runs}
    done = {key: result for key, result in rows.items() if key in wanted}
    for key, result in done.items():
        was, now = result.facts["config_digest"], wanted[key].digest()
        if was != now:
            raise QtxError(
                f"{folder / RESULTS}: the row {key} was made with other settings (digest {was}, now {now}): "
                "delete it, or choose another folder"
            )
    return done


def plan_table(runs: list[Run], done: dict[str, Result]) -> str:
    """One line per run: its name, and its mean score or a dash."""
    width = max(len(run.key) for run in runs)
    lines = [f"{run.key:{width}}  {f'{done[run.key].mean:.3f}' if run.key in done else '–'}" for run in runs]
    return "\n".join([*lines, f"{len(done)} of {len(runs)} done"])


def run_missing(
    study: Study, missing: list[Run], done: dict[str, Result], folder: Path, sets: Path, workers: int, more: list[str]
) -> list[Done]:
    """Make the data and do the runs in processes, with one progress bar; returns what failed. `more`: to workers."""
    from tqdm import tqdm

    for run in missing:
        run.digest()  # unknown keys are found before the first of many hours
    folder.mkdir(parents=True, exist_ok=True)
    _write_study(study, folder)
    operators = [name for name in study.operators() if not (sets / name).exists()] if missing else []
    latest: list[str] = []  # the run that ended last, and its mean
    with tqdm(total=len(done) + len(missing), initial=len(done), unit="run", dynamic_ncols=True) as bar:

        def job(what: str, name: str) -> Job:
            command = [sys.executable, "-m", "qtx_ros.study.worker", str(folder), str(sets), what, name]
            return Job(name, (*command, *more), folder / "logs" / f"{name}.log")

        def on_done(ended: Done) -> None:
            bar.update()
            found = {result.key: result for result in read_results(folder)}.get(ended.job.name)
            latest[:] = [f"{ended.job.name} {f'{found.mean:.3f}' if found else 'failed'}"]
            bar.write(latest[0], file=sys.stderr)

        def watch(jobs: list[Job]) -> None:
            bar.set_postfix_str("; ".join([*latest, *(_how_far(folder, job.name) for job in jobs)]))

        failed = run_jobs([job("data", name) for name in operators], workers, lambda ended: None, watch)
        if failed:
            return failed
        return run_jobs([job("run", run.key) for run in missing], workers, on_done, watch)


def _how_far(folder: Path, name: str) -> str:
    progress = read_progress(folder / RUNS / name)
    return f"{name} {progress['what']} {progress['step']}" if progress else name


def _write_study(study: Study, folder: Path) -> None:
    write_atomically(folder / STUDY, (json.dumps(configs.dump(study), indent=1) + "\n").encode())
