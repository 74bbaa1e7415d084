"""A whole study in small: data, training in processes, a killed worker, evaluation, rows, report."""

import dataclasses
import json
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import pytest

from qtx_ros import config as configs
from qtx_ros.cli import main
from qtx_ros.errors import QtxError
from qtx_ros.learn.checkpoint import CHECKPOINT
from qtx_ros.study import work
from qtx_ros.study.data import data_digest, make_data, open_data
from qtx_ros.study.plan import load_study
from qtx_ros.study.pool import Job, run_jobs
from qtx_ros.study.results import RESULTS, Result, add_result, read_results
from qtx_ros.study.run import finished

STUDY = load_study("smoke")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Training sets of the study's operators."""
    folder = tmp_path_factory.mktemp("sets")
    for operator in STUDY.operators():
        make_data(STUDY, operator, folder)
    return folder


def kill_once(folder: Path, step: int) -> None:
    """Kill the worker of the Q run with signal 9 as soon as it is beyond a step."""
    while work.read_progress(folder / "runs/stitching.q.101").get("step", 0) < step:
        time.sleep(0.02)
    (process,) = [p for p in Path("/proc").glob("[0-9]*") if _is_worker(p, folder)]
    os.kill(int(process.name), signal.SIGKILL)


def _is_worker(process: Path, folder: Path) -> bool:
    try:
        command = (process / "cmdline").read_text().split("\0")
    except OSError:
        return False
    return "qtx_ros.study.worker" in command and str(folder) in command


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker in /proc")
def test_a_killed_worker_costs_nothing_but_time(sets, tmp_path, capsys):
    command = ["study", "run", "smoke", "-o", str(tmp_path), "--data", str(sets), "--workers", "1"]
    killer = Thread(target=kill_once, args=(tmp_path, 30), daemon=True)
    killer.start()
    assert main([*command, "--keep", "--only", "*.q.*"]) == 0
    assert not killer.is_alive()
    log = (tmp_path / "logs/stitching.q.101.log").read_text()
    assert log.count("| 0/60") == 1  # the second worker began where the first had saved

    run, whole = STUDY.run("stitching.q.101"), tmp_path / "whole"
    whole.mkdir()
    work.train(run, open_data(run, sets), whole, work.Clock(whole))
    files = [folder / "run" / CHECKPOINT for folder in (tmp_path / "runs/stitching.q.101", whole)]
    assert _weights(files[0]) == _weights(files[1])

    work.do_run(STUDY.run("stitching.bc-demos.101"), tmp_path, sets)
    rows = read_results(tmp_path)
    assert [row.key for row in rows] == ["stitching.bc-demos.101", "stitching.q.101"]
    assert rows[0].facts["data_digest"] != rows[1].facts["data_digest"]  # demonstrations alone
    _check_twin(sets, tmp_path)
    before = (tmp_path / RESULTS).read_bytes()
    assert main(command) == 0  # nothing is left to do
    assert (tmp_path / RESULTS).read_bytes() == before
    assert main([*command, "--list"]) == 0
    assert "2 of 2 done" in capsys.readouterr().out
    _check_report(tmp_path)


def _check_twin(sets: Path, folder: Path) -> None:
    """Where all successes are demonstrations, learning from the ones is learning from the others."""
    study = dataclasses.replace(STUDY, methods=(*STUDY.methods, "bc-successes"))
    rows = {row.key: row.facts["overrides"] for row in read_results(folder)}
    work.do_run(study.run("stitching.bc-successes.101"), folder, sets)
    row = next(row for row in read_results(folder) if row.key not in rows)
    assert json.loads(row.facts["overrides"]) == {"same as": "stitching.bc-demos.101"}
    _check_known(sets, folder, folder.parent / "other")


def _check_known(sets: Path, done: Path, folder: Path) -> None:
    """What another study computed with the same settings is taken over; other settings are computed."""
    study = dataclasses.replace(STUDY, name="other", training={**STUDY.training, "steps": 61})
    same = dataclasses.replace(study, training=STUDY.training).run("stitching.q.101")
    assert work.elsewhere(study.run("stitching.q.101"), [done], data_digest(open_data(same, sets))) is None
    row = work.do_run(same, folder, sets, others=[done])
    assert row.keys["study"] == "other" and json.loads(row.facts["overrides"]) == {"same as": "smoke/stitching.q.101"}
    assert row.scores == {r.key: r.scores for r in read_results(done)}["stitching.q.101"]


def _weights(path: Path) -> bytes:
    """The tensors of a checkpoint without its seconds."""
    import safetensors.torch

    return safetensors.torch.save(safetensors.torch.load_file(path))


def _check_report(folder: Path) -> None:
    assert main(["study", "report", str(folder), "-o", str(folder / "report")]) == 0
    page = (folder / "report/README.md").read_text()
    assert "| q | 1 |" in page and "| bc-successes | 1 |" in page and "`qtx study run smoke" in page
    assert (folder / "report/methods.png").read_bytes().startswith(b"\x89PNG")
    assert read_results(folder / "report") == read_results(folder)
    again = folder / "again"
    assert main(["study", "report", str(folder / "report"), "-o", str(again)]) == 0
    assert (again / "README.md").read_text() == page


def test_data_are_the_same_whenever_they_are_made(sets, tmp_path):
    with ProcessPoolExecutor(2, get_context("spawn")) as two:  # at once: one makes them, the other waits
        made = [two.submit(make_data, STUDY, "failure", tmp_path) for _ in range(2)]
        assert [future.result() for future in made] == [tmp_path / "failure"] * 2
    os.symlink(sets / "stitch-demo", tmp_path / "stitch-demo")
    run = STUDY.run("stitching.q.101")
    first, second = (open_data(run, folder) for folder in (sets, tmp_path))
    assert data_digest(first) == data_digest(second)
    assert data_digest(open_data(STUDY.run("stitching.bc-demos.101"), sets)) != data_digest(first)


def test_what_was_begun_with_other_settings_is_not_continued(tmp_path):
    run, place = STUDY.run("stitching.q.101"), tmp_path / "runs/stitching.q.101"
    code = work.begin(place, run, "data")
    (place / work.SCORES).write_text('{"drawer-open": 1.0}')
    assert work.begin(place, run, "data") == code and (place / work.SCORES).exists()
    changed = dataclasses.replace(STUDY, training={**STUDY.training, "gamma": 0.5}).run("stitching.q.101")
    for other, digest in ((changed, "data"), (run, "other data")):
        (place / work.SCORES).write_text('{"drawer-open": 1.0}')
        work.begin(place, other, digest)
        assert [path.name for path in place.iterdir()] == [work.BEGUN]


def test_a_row_says_if_the_code_changed_on_the_way(tmp_path, monkeypatch):
    run = STUDY.run("stitching.q.101")
    monkeypatch.setattr(work, "commit", lambda: "before")
    assert work.begin(tmp_path / "run", run, "data") == "before"
    monkeypatch.setattr(work, "commit", lambda: "after")
    assert work.begin(tmp_path / "run", run, "data") == "before, after"


def test_a_set_made_for_other_things_is_refused(sets, tmp_path):
    for name in ("failure", "failure.json"):
        os.symlink(sets / name, tmp_path / name)
    assert make_data(dataclasses.replace(STUDY, mixes={"one": {"failure": 1}}), "failure", tmp_path)  # fewer of them
    for changes, said in (({"data_seed": 7}, "seed"), ({"mixes": {"one": {"failure": 99}}}, "episodes")):
        with pytest.raises(QtxError, match=rf"failure was made with {said} \d+, study 'smoke' has .*--data"):
            make_data(dataclasses.replace(STUDY, **changes), "failure", tmp_path)


def test_a_peer_is_known_by_its_method_too(tmp_path):
    settings = {"d3rlpy-bc": {"steps": 5}, "d3rlpy-iql": {"steps": 5}}
    study = dataclasses.replace(STUDY, methods=tuple(settings), settings=settings)
    asked, other = (study.run(f"stitching.{method}.101") for method in settings)
    assert asked.digest() == other.digest()
    for run, expected in ((other, False), (asked, True)):
        found = row(101, 0.5, run.method, run.digest())
        add_result(tmp_path, Result(found.keys, found.scores, {**found.facts, "commit": work.commit()}))
        assert bool(work.elsewhere(asked, [tmp_path], "")) == expected


def row(seed: int, score: float, method: str = "q", digest: str = "") -> Result:
    facts = dict.fromkeys(("episodes", "steps", "batch_size", "bins", "history", "parameters"), "1")
    facts |= {"train_s": "1", "cpu_s": "1", "eval_s": "1", "data_digest": "", "config_digest": digest}
    keys = {"study": "toy", "mix": "stitching", "method": method, "variant": "", "seed": str(seed)}
    return Result(keys, {"a": score, "b": 1.0}, {**facts, "commit": "", "overrides": ""})


def test_rows_are_ordered_and_a_run_has_only_one(tmp_path):
    for seed, score in ((10, 0.5), (2, 0.1), (10, 0.25)):
        add_result(tmp_path, row(seed, score))
    assert [(result.seed, result.mean) for result in read_results(tmp_path)] == [(2, 0.55), (10, 0.625)]
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [RESULTS]


def test_scores_stand_under_their_tasks_whatever_their_order(tmp_path):
    add_result(tmp_path, row(1, 0.5))
    add_result(tmp_path, dataclasses.replace(row(2, 0.5), scores={"b": 1.0, "a": 0.25}))
    assert [result.scores for result in read_results(tmp_path)] == [{"a": 0.5, "b": 1.0}, {"a": 0.25, "b": 1.0}]
    with pytest.raises(QtxError, match="q.3 has the tasks a, not a, b"):
        add_result(tmp_path, dataclasses.replace(row(3, 0.5), scores={"a": 0.25}))


def test_a_row_of_other_settings_is_not_taken_for_this_studys(tmp_path):
    add_result(tmp_path, row(101, 0.5, digest="another"))
    with pytest.raises(QtxError, match="stitching.q.101 was made with other settings"):
        finished(STUDY.runs(), tmp_path)


def test_a_job_that_fails_is_told_and_the_others_go_on(tmp_path):
    def job(name: str, script: str) -> Job:
        return Job(name, ("sh", "-c", script), tmp_path / f"{name}.log")

    ended = []
    jobs = [job("bad", "echo no such thing; exit 1"), job("good", "true"), job("fatal", "kill -9 $$")]
    failed = run_jobs(jobs, 2, ended.append, lambda running: None)
    assert {done.job.name: done.reason for done in failed} == {
        "bad": "no such thing", "fatal": "killed 3 times, last by signal 9"
    }  # fmt: skip
    assert {done.job.name for done in ended} == {"bad", "good", "fatal"}


def test_a_study_survives_its_own_json():
    assert configs.build(type(STUDY), json.loads(json.dumps(configs.dump(STUDY))), "study.json") == STUDY
