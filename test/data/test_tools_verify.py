"""qtx data verify: one flipped byte anywhere, and what hashes alone do not tell."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from small_set import add_episode, small_set

from qtx_ros.cli import main
from qtx_ros.data.index import read_index, write_index
from qtx_ros.data.report import write_report
from qtx_ros.data.tools.verify import verify


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = small_set(tmp_path_factory.mktemp("sound") / "set", 3)
    add_episode(root, "gap", lost=[4], human=[5])
    add_episode(root, "raw", codec="raw")
    write_report(root)
    return root


@pytest.fixture
def root(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "set")


def rewrite(root, name, change):
    """Change a column of e000 and make every hash good again: only its sense is wrong."""
    folder = root / "e000"
    path = folder / f"{name}.npy"
    array = np.load(path)
    np.save(path, change(array))
    sign(root, path)


def sign(root, path):
    manifest = json.loads((path.parent / "manifest.json").read_text())
    data = path.read_bytes()
    manifest["files"][path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (path.parent / "manifest.json").write_text(json.dumps(manifest))
    write_index(root, read_index(root)[0])


def test_a_sound_set_has_no_problem(sound, capsys):
    assert verify(sound, decode=True) == []
    assert main(["data", "verify", str(sound), "--decode"]) == 0
    assert "5 episodes, every byte as it was written" in capsys.readouterr().out


def test_one_flipped_byte_in_any_file_is_found(tmp_path):
    sound, rng = add_episode(tmp_path / "set", "gap", lost=[4], human=[5]), np.random.default_rng(0)
    add_episode(sound, "raw", codec="raw")
    write_report(sound)
    files = [path for path in sound.rglob("*") if path.is_file()]
    kinds = {path.name for path in files}
    assert {"dataset.json", "report.html", "manifest.json", "intervention.npy", "frames_front.bin"} <= kinds
    for path in files:
        data = bytearray(path.read_bytes())
        for at in {0, len(data) - 1, *rng.integers(0, len(data), 6).tolist()}:
            bit = 1 << int(rng.integers(8))
            data[at] ^= bit
            path.write_bytes(data)
            problems = verify(sound)
            assert any(str(path) in problem for problem in problems), (path, at, problems)
            data[at] ^= bit
        path.write_bytes(data)
    assert verify(sound) == []


def test_the_exit_status_says_so(root, capsys):
    path = root / "e001" / "frames_wrist.bin"
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert main(["data", "verify", str(root)]) == 1
    assert capsys.readouterr().out == f"{path} differs from its hash in the manifest\n"


def test_missing_and_foreign_files_are_named(root):
    (root / "e000" / "tick.npy").unlink()
    (root / "e001" / "notes.txt").write_text("hello")
    shutil.rmtree(root / "e002")
    (root / "stray.bin").write_bytes(b"")
    (root / ".half.123").mkdir()
    shutil.copytree(root / "gap", root / "unlisted")
    assert sorted(verify(root)) == sorted([
        f"{root}/.half.123 is left from an interrupted conversion, delete it",
        f"{root}/stray.bin does not belong to the set",
        f"{root}/unlisted is an episode that dataset.json does not list",
        f"{root}/e000/tick.npy is missing",
        f"{root}/e001/notes.txt does not belong to the episode",
        f"{root}/e002/manifest.json is missing, but dataset.json lists the episode",
    ])  # fmt: skip


def first_two_swapped(array):
    array[[0, 1]] = array[[1, 0]]
    return array


@pytest.mark.parametrize(
    "name, change, sentence",
    [
        ("state", lambda a: a[:, :1], "state.npy holds float32 (12, 1), expected float32 (12, 2)"),
        ("reward", lambda a: a.astype("f8"), "reward.npy holds float64 (12,), expected float32 (12,)"),
        ("tick", first_two_swapped, "tick.npy does not rise at step 1"),
        ("valid", lambda a: a & (np.arange(12) != 3), "valid.npy marks 11 steps, the manifest says 12"),
        ("action", lambda a: np.where(np.arange(12)[:, None] == 7, np.nan, a), "valid but not finite at step 7"),
        ("reward", lambda a: a * np.nan, "reward.npy is not finite at step 0"),
        ("frames_front", first_two_swapped, "frames_front.npy: the offsets do not rise from 0"),
        ("frames_front", lambda a: a[:-1], "has"),
        ("frames_front", lambda a: np.r_[a[:3], a[2], a[4:]], "frames_front.npy: no frame at a valid step, 2"),
        ("frames_front", lambda a: a.astype("f8"), "frames_front.npy holds float64 (13,), expected int64 [steps + 1]"),
    ],
)
def test_numbers_that_make_no_sense_are_found_though_the_hashes_fit(root, name, change, sentence):
    rewrite(root, name, change)
    problem = verify(root)[0]
    assert sentence in problem and str(root / "e000") in problem


def test_a_frame_that_does_not_decode_is_found_on_request(root):
    path = root / "e000" / "frames_front.bin"
    offsets = np.load(root / "e000" / "frames_front.npy")
    data = bytearray(path.read_bytes())
    data[offsets[5] : offsets[6]] = bytes(int(offsets[6] - offsets[5]))
    path.write_bytes(data)
    sign(root, path)
    (problem,) = verify(root, decode=True)
    assert f"{path}: step 5" in problem


def test_an_older_index_is_read_and_its_lack_of_hashes_told(root):
    index = json.loads((root / "dataset.json").read_text())
    older = {key: index[key] for key in ("format", "spec", "episodes")}
    (root / "dataset.json").write_text(json.dumps(older))
    assert len(read_index(root)[1]) == 5
    (problem,) = verify(root)
    assert "holds no hashes of the manifests" in problem
    (root / "e000" / "manifest.json").write_text("{}")
    assert any("e000/manifest.json is no manifest" in problem for problem in verify(root))


@pytest.mark.parametrize("index", ["[]", "{}", "?", '{"format": 1, "episodes": ["../x"], "spec": {}}', '{"format": 1}'])
def test_an_index_that_is_none_is_one_sentence(root, index):
    (root / "dataset.json").write_text(index)
    (problem,) = verify(root)
    assert str(root) in problem and "\n" not in problem
