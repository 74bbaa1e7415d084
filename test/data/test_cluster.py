"""Workers that are killed, hang or poison: in processes and on Ray. The training set is the same, byte for byte."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from killing import gone, killer, tree

from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data.cluster import Lost, in_processes
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert
from qtx_ros.spec import Spec

SAWYER = Spec.load("sawyer_sim")
SCRIPT = Script(SAWYER, seconds=2.0, contract=True, label="success")
NAMES = ["a", "b", "c", "victim"]


def live(task):
    """Do what a task says: die, die the first time only, hang, or answer."""
    what, argument = task
    if what == "hang":
        time.sleep(600)
    if what == "die" or (what == "stumble" and not Path(argument).exists()):
        Path(argument).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return argument, os.getpid()


def test_a_killed_worker_costs_nothing_and_a_poison_task_only_itself(tmp_path):
    tasks = [("die", tmp_path / "x"), ("stumble", tmp_path / "y"), *(("answer", i) for i in range(6))]
    results = dict(in_processes(live, tasks, 2))
    assert "died 2 times" in results[0].reason and "SIGKILL" in results[0].reason
    assert [results[i][0] for i in range(1, 8)] == [tmp_path / "y", *range(6)]
    assert all(gone(results[i][1]) for i in range(1, 8))


def test_a_task_that_hangs_is_given_up(tmp_path):
    results = dict(in_processes(live, [("hang", 0), ("answer", 1)], 2, timeout=1.0))
    assert results[0] == Lost("took longer than 1 s") and results[1][0] == 1


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    return [
        write_bag(folder, name, replace(SCRIPT, seconds=6.0 if name == "victim" else 1.0, seed=i))
        for i, name in enumerate(NAMES)
    ]


@pytest.fixture(scope="module")
def expected(bags, tmp_path_factory):
    """The set as one process makes it, in another folder and another order."""
    out = tmp_path_factory.mktemp("alone") / "set"
    assert {row.status for row in convert(bags[::-1], Options(out, SAWYER))} == {"converted"}
    return tree(out)


def check_survival(bags, out, expected, times, **how):
    with killer(out, "victim", times) as killed:
        rows = convert(bags, Options(out, SAWYER), 2, **how)
    assert len(killed) == times and all(gone(pid) for pid in killed)
    assert not list(out.glob(".victim.*"))
    assert [row.bag for row in rows] == [str(bag) for bag in bags]
    if times == 1:
        assert {row.status for row in rows} == {"converted"}
        assert tree(out) == expected
    return rows


def check_poison(bags, out, expected, **how):
    rows = check_survival(bags, out, expected, 2, **how)
    assert [row.status for row in rows] == ["converted"] * 3 + ["failed"]
    assert "its worker died 2 times" in rows[-1].reason and str(bags[-1]) in rows[-1].reason
    convert(bags, Options(out, SAWYER))
    assert tree(out) == expected


def test_a_killed_process_changes_nothing(bags, expected, tmp_path):
    check_survival(bags, tmp_path / "set", expected, times=1)


def test_a_poison_bag_is_a_row(bags, expected, tmp_path):
    check_poison(bags, tmp_path / "set", expected)


# --- Ray ---------------------------------------------------------------------------------------------------------


def test_a_killed_ray_worker_changes_nothing(two_ray_workers, bags, expected, tmp_path):
    check_survival(bags, tmp_path / "set", expected, times=1, ray="local")


def test_a_poison_bag_on_ray_is_a_row(two_ray_workers, bags, expected, tmp_path):
    check_poison(bags, tmp_path / "set", expected, ray="local")


def test_a_bag_that_takes_too_long_on_ray_is_a_row(two_ray_workers, bags, tmp_path):
    rows = convert(bags[-1:], Options(tmp_path / "set", SAWYER), ray="local", timeout=0.01)
    assert [(row.status, row.reason.split(": ")[1]) for row in rows] == [("failed", "took longer than 0.01 s")]
