"""qtx data merge, split, info: what goes where, and that it is the same every time."""

import json
import os

import pytest
from small_set import SPEC, add_episode, small_set

from qtx_ros.cli import main
from qtx_ros.data.index import read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.data.tools.verify import verify


def names(root):
    return read_index(root)[1]


def data(*arguments):
    return main(["data", *map(str, arguments)])


@pytest.fixture
def mixed(tmp_path):
    root = tmp_path / "mixed"
    for k in range(20):
        label, text = ("failure" if k % 5 == 0 else "success"), ("pull" if k < 10 else "push")
        add_episode(root, f"e{k:02d}", 4, label, instruction=text)
    return root


# --- merge -------------------------------------------------------------------------------------------------------

def test_what_is_there_twice_comes_once(tmp_path, capsys):
    a, b = small_set(tmp_path / "a", 3), small_set(tmp_path / "b", 4)
    assert data("merge", tmp_path / "out", a, b) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out: 4 episodes, 3 left out that were there twice\n"
    assert names(tmp_path / "out") == ["e000", "e001", "e002", "e003"] and verify(tmp_path / "out", decode=True) == []


def test_clashing_names_do_not_depend_on_the_order_of_the_sets(tmp_path):
    a, b = small_set(tmp_path / "a", 2, seed=1), small_set(tmp_path / "b", 3, seed=2)
    for out, sets in (("one", (a, b)), ("two", (b, a))):
        assert data("merge", tmp_path / out, *sets) == 0
    assert names(tmp_path / "one") == names(tmp_path / "two") and len(names(tmp_path / "one")) == 5
    assert (tmp_path / "one/dataset.json").read_bytes() == (tmp_path / "two/dataset.json").read_bytes()
    assert "e002" in names(tmp_path / "one") and "e000" not in names(tmp_path / "one")


@pytest.mark.parametrize("copy", [True, False])
def test_files_are_shared_unless_copies_are_wanted(tmp_path, copy):
    root = small_set(tmp_path / "a", 1)
    data("merge", tmp_path / "out", root, *["--copy"] * copy)
    assert os.path.samefile(root / "e000/state.npy", tmp_path / "out/e000/state.npy") != copy


def test_sets_of_two_robots_do_not_merge(tmp_path, capsys):
    a, b = small_set(tmp_path / "a", 1), small_set(tmp_path / "b", 1)
    index = json.loads((b / "dataset.json").read_text())
    index["spec"]["rate"] = 11.0
    (b / "dataset.json").write_text(json.dumps(index))
    assert data("merge", tmp_path / "out", a, b) == 1
    assert "another robot description" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_damaged_manifest_is_not_made_good_by_a_merge(tmp_path, capsys):
    root = small_set(tmp_path / "a", 2)
    path = root / "e001/manifest.json"
    path.write_text(path.read_text().replace("success", "failure"))
    assert data("merge", tmp_path / "out", root) == 1
    assert f"{path} is missing or differs" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path, capsys):
    root = small_set(tmp_path / "a", 1)
    assert data("merge", root, root) == 1
    assert "exists already" in capsys.readouterr().err


# --- split -------------------------------------------------------------------------------------------------------

def halves(root, *arguments):
    out = root.parent
    run = len(list(out.iterdir()))
    a, b = out / f"a{run}", out / f"b{run}"
    assert data("split", root, a, b, *arguments) == 0
    assert sorted(names(a) + names(b)) == names(root)
    return a, b


def test_a_split_is_fixed_by_its_seed(mixed):
    first, again, other = (names(halves(mixed, "--fraction", 0.75, "--seed", seed)[0]) for seed in (0, 0, 1))
    assert len(first) == 15 and first == again != other


@pytest.mark.parametrize("by, key, share", [("label", "failure", 2), ("instruction", "pull", 5)])
def test_strata_keep_their_shares(mixed, by, key, share):
    a, b = halves(mixed, "--fraction", 0.5, "--by", by)
    assert verify(a) == verify(b) == []
    for part in (a, b):
        assert sum(read_manifest(part / name)[by] == key for name in names(part)) == share


def test_episodes_of_one_recording_stay_together(mixed):
    for k in range(5):
        add_episode(mixed, f"again{k}", 4, source={"key": {"sha256": f"e{k:02d} 0", "mark": "x"}})
    for seed in range(3):
        a, _ = halves(mixed, "--fraction", 0.5, "--seed", seed)
        assert all((f"again{k}" in names(a)) == (f"e{k:02d}" in names(a)) for k in range(5))


def test_a_list_of_names_makes_the_first_part(mixed, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("e03\n\n e07 \n")
    a, _ = halves(mixed, "--names", "e01", f"@{tmp_path}/list.txt")
    assert names(a) == ["e01", "e03", "e07"]
    assert data("split", mixed, tmp_path / "x", tmp_path / "y", "--names", "e99") == 1
    assert "has no episode 'e99'" in capsys.readouterr().err


@pytest.mark.parametrize("fraction, words", [(1.5, "between 0 and 1"), (0.99, "would hold no episode")])
def test_an_impossible_split_is_refused(mixed, tmp_path, capsys, fraction, words):
    assert data("split", mixed, tmp_path / "x", tmp_path / "y", "--fraction", fraction) == 1
    assert words in capsys.readouterr().err and not (tmp_path / "x").exists()


# --- info --------------------------------------------------------------------------------------------------------

def test_info_counts_what_is_there(mixed, capsys):
    add_episode(mixed, "gap", 10, "", lost=[3, 4])
    assert data("info", mixed, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["episodes"], found["steps"], found["valid_steps"]) == (21, 90, 88)
    assert found["labels"] == {"success": 16, "failure": 4, "": 1}
    assert found["digest"] == SPEC.digest() and found["minutes"] == 0.15
    assert found["bytes"] == sum(p.stat().st_size for p in mixed.glob("*/*") if p.name != "manifest.json")


def test_info_speaks_to_people(mixed, capsys):
    assert data("info", mixed) == 0
    told = capsys.readouterr().out
    assert "16 success, 4 failure" in told and "10 “pull”" in told and "front 16×16" in told


def test_info_of_nothing_is_one_sentence(tmp_path, capsys):
    assert data("info", tmp_path) == 1
    assert capsys.readouterr().err.startswith("qtx data: cannot read")
