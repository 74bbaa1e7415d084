"""A rerun does nothing, an interrupted run continues, and what remains does not depend on how it was made."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from killing import gone, tree, wait_for_writer

from qtx_ros import cli
from qtx_ros.bags.labels import Label, add_label
from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert, names_of
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SAWYER = Spec.load("sawyer_sim")
SCRIPT = Script(SAWYER, seconds=1.0, contract=True, label="success")


def statuses(bags, out, **how):
    return [row.status for row in convert(bags, Options(out, SAWYER), **how)]


def qtx(*arguments):
    """`qtx convert` in a process group of its own, as a shell starts it."""
    command = [sys.executable, "-m", "qtx_ros", "convert", *map(str, arguments), "--no-report"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "bags"
    return [write_bag(folder, n, replace(SCRIPT, seconds=s, seed=i)) for i, (n, s) in enumerate([("a", 1), ("b", 8)])]


def test_another_folder_process_order_and_time_give_the_same_bytes(bags, tmp_path):
    copies = [shutil.copytree(bag, tmp_path / "elsewhere" / "deep" / bag.name) for bag in bags]
    assert statuses(bags, tmp_path / "one") == ["converted"] * 2
    process = qtx(*copies[::-1], "-o", tmp_path / "two", "--workers", "2", "--json", tmp_path / "summary.json")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    digest = json.loads((tmp_path / "two" / "dataset.json").read_text())["sha256"]
    assert digest == json.loads((tmp_path / "summary.json").read_text())["sha256"] and digest in output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_run_continues(bags, tmp_path, number, status):
    out = tmp_path / "set"
    run = qtx(*bags, "-o", out, "--workers", "1")
    worker = wait_for_writer(out, "b")
    (os.kill if number == signal.SIGKILL else os.killpg)(run.pid, number)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == status and "Traceback" not in errors, errors
    assert (out / "a" / "manifest.json").exists() and not (out / "b").exists()
    assert statuses(bags, out, workers=1) == ["unchanged", "converted"]
    assert gone(worker) and not list(out.glob(".*.[0-9]*"))
    assert statuses(bags, tmp_path / "straight") == ["converted"] * 2
    assert tree(out) == tree(tmp_path / "straight")


def test_a_rerun_reads_no_bag(bags, tmp_path):
    """Unreadable bytes of the same size and time go unnoticed: they are not read. A newer time: they are."""
    bag = shutil.copytree(bags[0], tmp_path / "a")
    assert statuses([bag], tmp_path / "set") == ["converted"]
    file = bag / "a_0.mcap"
    content, times = file.read_bytes(), file.stat()
    file.write_bytes(b"x" * len(content))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert statuses([bag], tmp_path / "set") == ["unchanged"]
    os.utime(file)
    assert statuses([bag], tmp_path / "set") == ["failed"]
    assert (tmp_path / "set" / "a" / "manifest.json").exists()
    file.write_bytes(content)
    assert statuses([bag], tmp_path / "set") == ["unchanged"]


def test_a_lost_ledger_or_episode_is_noticed(bags, tmp_path):
    out = tmp_path / "set"
    statuses(bags[:1], out)
    (out / ".convert.json").write_text("nonsense")
    assert statuses(bags[:1], out) == ["unchanged"]
    shutil.rmtree(out / "a")
    assert statuses(bags[:1], out) == ["converted"]


def test_a_vanished_bag_keeps_its_episode_unless_pruned(bags, tmp_path):
    out = tmp_path / "set"
    gone_bag = shutil.copytree(bags[0], tmp_path / "gone")
    statuses([bags[0], gone_bag], out)
    shutil.rmtree(gone_bag)
    assert statuses(bags[:1], out) == ["unchanged"] and (out / "gone").exists()
    assert statuses(bags[:1], out, prune=True) == ["unchanged"] and not (out / "gone").exists()
    assert json.loads((out / "dataset.json").read_text())["episodes"] == ["a"]


def test_a_bag_recorded_anew_replaces_its_episode(tmp_path):
    bag = write_bag(tmp_path, "a", SCRIPT)
    statuses([bag], tmp_path / "set")
    shutil.rmtree(bag)
    write_bag(tmp_path, "a", replace(SCRIPT, seed=9))
    assert statuses([bag], tmp_path / "set") == ["converted"]
    assert json.loads((tmp_path / "set" / "dataset.json").read_text())["episodes"] == ["a"]


def test_the_same_words_said_again_convert_nothing(tmp_path):
    bag = write_bag(tmp_path, "a", SCRIPT)
    add_label(bag, Label(label="failure"))
    assert statuses([bag], tmp_path / "set") == ["converted"]
    add_label(bag, Label(label="failure", by="somebody else"))
    assert statuses([bag], tmp_path / "set") == ["unchanged"]
    single = shutil.copy(bag / "a_0.mcap", tmp_path / "single.mcap")
    assert statuses([single], tmp_path / "set") == ["converted"]
    add_label(single, Label(label="failure"))
    assert statuses([single], tmp_path / "set") == ["converted"]


def test_two_conversions_do_not_write_into_one_folder(bags, tmp_path):
    out = tmp_path / "set"
    first = qtx(*bags, "-o", out, "--workers", "1")
    wait_for_writer(out, "b")
    with pytest.raises(QtxError, match="another qtx convert writes into"):
        statuses(bags, out)
    assert first.wait(60) == 0


def test_names_come_from_the_paths_only_as_far_as_they_differ():
    assert names_of(["/x/a/run", "/x/b/run", "/x/b/other.mcap"]) == ["a_run", "b_run", "other"]
    assert names_of(["/x/run", "/y/run"]) == names_of(["/1/x/run", "/2/y/run"]) == ["x_run", "y_run"]
    assert names_of(["s3://bucket/x/r 1", "s3://bucket/x/r_1"]) == ["bucket_x_r_1", "bucket_x_r_1-2"]


def test_workers_below_one_are_refused(bags, tmp_path, capsys):
    assert cli.main(["convert", str(bags[0]), "-o", str(tmp_path / "set"), "--workers", "0"]) == 1
    assert "--workers is 0, expected at least 1" in capsys.readouterr().err
