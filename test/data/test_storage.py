"""Bags and training sets behind URLs: fsspec's memory, and an S3 server that moto stands in for."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from killing import gone, tree

from qtx_ros import cli
from qtx_ros.bags.labels import Label, add_label
from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data import storage, store
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SAWYER = Spec.load("sawyer_sim")
SCRIPT = Script(SAWYER, seconds=1.0, contract=True, label="success")


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    write_bag(folder, "a", SCRIPT)
    write_bag(folder, "b", replace(SCRIPT, seed=1))
    write_bag(folder, ".hidden", SCRIPT)
    (folder / "notes.txt").write_text("not a bag")
    return folder


@pytest.fixture(scope="module")
def expected(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "set"
    convert(storage.find_bags([bags]), Options(out, SAWYER))
    return tree(out)


@pytest.fixture
def memory(bags):
    """The bags at memory://bags."""
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    fs.put(str(bags), "/bags", recursive=True)
    yield fs
    fs.rm("/", recursive=True)


def run(out, *bags):
    return [(row.episode, row.status) for row in convert(storage.find_bags(bags), Options(out, SAWYER))]


def test_a_remote_folder_is_searched_as_a_local_one(memory, bags):
    assert storage.find_bags(["memory://bags"]) == ["memory:///bags/a", "memory:///bags/b"]
    assert storage.find_bags(["memory://bags/b"]) == ["memory:///bags/b"]
    assert storage.find_bags(["memory://bags/b/b_0.mcap"]) == ["memory:///bags/b/b_0.mcap"]
    with pytest.raises(QtxError, match="there is no bag memory://nowhere"):
        storage.find_bags(["memory://nowhere"])


def test_a_remote_set_has_the_bytes_of_a_local_one(memory, expected, tmp_path):
    assert run("memory://set", "memory://bags") == [("a", "converted"), ("b", "converted")]
    assert tree(storage.fetch("memory://set", tmp_path)) == expected
    assert len(Dataset.open(tmp_path / "set", verify=True)) == 2
    assert not list(Path(tmp_path).parent.glob(f"{storage.SCRATCH}*"))


def test_a_rerun_against_a_remote_set_moves_nothing(memory, monkeypatch):
    run("memory://set", "memory://bags")
    monkeypatch.setattr(memory, "get_file", None)
    monkeypatch.setattr(memory, "put_file", None)
    assert run("memory://set", "memory://bags") == [("a", "unchanged"), ("b", "unchanged")]


def test_a_new_label_of_a_remote_bag_converts_it_anew(memory, bags, tmp_path):
    run("memory://set", "memory://bags/a")
    copy = shutil.copytree(bags / "a", tmp_path / "a")
    add_label(copy, Label(label="failure"))
    memory.put(str(copy / "labels.json"), "/bags/a/labels.json")
    assert run("memory://set", "memory://bags/a") == [("a", "converted")]
    assert json.loads(memory.cat("/set/a/manifest.json"))["label"] == "failure"
    add_label(copy, Label(label="discard"))
    memory.put(str(copy / "labels.json"), "/bags/a/labels.json")
    assert run("memory://set", "memory://bags/a") == [("a", "discarded")]
    assert json.loads(memory.cat("/set/dataset.json"))["episodes"] == [] and not memory.find("/set/a")


def test_a_half_uploaded_episode_is_not_listed_and_uploaded_anew(memory, expected, monkeypatch, tmp_path):
    put = type(memory).put_file

    def breaks(self, local, there, **options):
        if there.endswith("a/state.npy"):
            raise OSError("connection reset by peer")
        return put(self, local, there, **options)

    monkeypatch.setattr(type(memory), "put_file", breaks)
    assert run("memory://set", "memory://bags") == [("a", "failed"), ("b", "converted")]
    assert memory.exists("/set/a") and json.loads(memory.cat("/set/dataset.json"))["episodes"] == ["b"]
    monkeypatch.undo()
    assert run("memory://set", "memory://bags") == [("a", "converted"), ("b", "unchanged")]
    assert tree(storage.fetch("memory://set", tmp_path)) == expected


def test_a_bag_that_does_not_fit_on_the_disk_is_refused(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(QtxError, match="memory://bags has .* free: choose another TMPDIR"):
        storage.fetch("memory://bags", tmp_path)


def test_temporary_folders_of_killed_processes_are_removed(monkeypatch, tmp_path):
    import multiprocessing

    monkeypatch.setattr(storage.tempfile, "tempdir", str(tmp_path))
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert gone(process.pid)
    with storage.scratch() as mine:
        left = mine.with_name(mine.name.replace(f"-{storage.os.getpid()}-", f"-{process.pid}-"))
        left.mkdir()
        with storage.scratch():
            assert mine.exists() and not left.exists()


def test_a_protocol_nobody_knows_is_named(tmp_path, capsys):
    assert cli.main(["convert", "nonsense://bags", "-o", str(tmp_path)]) == 1
    assert "cannot use nonsense://bags: Protocol not known" in capsys.readouterr().err


# --- S3 ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3(s3_server, bags):
    """The bags at s3://lab/bags."""
    fs, _ = storage.filesystem("s3://lab")
    fs.mkdir("lab")
    fs.put(str(bags), "lab/bags", recursive=True)
    return fs


def test_bags_and_set_in_s3_through_two_workers(s3, expected, tmp_path, capsys):
    arguments = ["convert", "s3://lab/bags", "-o", "s3://lab/sets/one", "--workers", "2"]
    assert cli.main(arguments) == 0 and "2 episodes" in capsys.readouterr().out
    assert tree(storage.fetch("s3://lab/sets/one", tmp_path)) == expected
    before = {path: info["LastModified"] for path, info in s3.find("lab/sets/one", detail=True).items()}
    assert cli.main(arguments) == 0 and capsys.readouterr().out.count(" unchanged ") == 2
    after = s3.find("lab/sets/one", detail=True)
    assert all(after[path]["LastModified"] == time for path, time in before.items() if path.count("/") == 4)


def test_s3_through_ray(s3, two_ray_workers, expected, tmp_path):
    rows = convert(storage.find_bags(["s3://lab/bags"]), Options("s3://lab/sets/ray", SAWYER), ray="local")
    assert [row.status for row in rows] == ["converted"] * 2
    assert tree(storage.fetch("s3://lab/sets/ray", tmp_path)) == expected


def test_a_bucket_that_is_not_there_is_one_sentence(s3, tmp_path, capsys):
    assert cli.main(["convert", "s3://nowhere/bags", "-o", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "s3://nowhere/bags: The specified bucket does not exist" in error and len(error.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(bags, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["convert", str(bags), "-o", str(tmp_path / "file" / "set")]) == 1
    assert f"cannot write into {tmp_path / 'file' / 'set'}: Not a directory" in capsys.readouterr().err


def test_a_store_reads_what_it_wrote(memory, tmp_path):
    for place in (store.open_store("memory://x/set"), store.open_store(tmp_path / "set")):
        with place.alone():
            assert place.read("dataset.json") is None and place.hashes() == {}
            place.write("dataset.json", b"{}")
            assert place.read("dataset.json") == b"{}"
