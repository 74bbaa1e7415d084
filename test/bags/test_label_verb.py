"""`qtx label`: what people say of a recording, and what becomes of it."""

import numpy as np
import pytest

from qtx_ros.bags.labels import read_labels
from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.cli import main
from qtx_ros.data.convert import Options, convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")


@pytest.fixture
def bag(tmp_path):
    return write_bag(tmp_path, "episode", Script(SPEC, seconds=2.0, contract=True, label="success", image=(48, 64)))


def converted(bag, tmp_path):
    (row,) = convert([bag], Options(tmp_path / "set", SPEC))
    assert row.status == "converted", row.reason
    return Dataset.open(tmp_path / "set").episodes[0]


def test_a_label_changes_what_the_converter_makes_and_not_the_bag(bag, tmp_path):
    before = {path.name: path.read_bytes() for path in bag.iterdir()}
    first = converted(bag, tmp_path)
    assert first.manifest["label"] == "success" and first.columns.reward[-1] == 1
    words = ["--label", "failure", "--end", "truncated", "--reward", "0.25", "--instruction", "open the door"]
    assert main(["label", str(bag), *words]) == 0
    second = converted(bag, tmp_path)
    assert (second.manifest["label"], second.manifest["instruction"]) == ("failure", "open the door")
    assert second.manifest["truncated"] and not second.manifest["terminated"]
    assert second.columns.reward[-1] == 0.25 and second.columns.reward[:-1].sum() == 0
    assert {name: (bag / name).read_bytes() for name in before} == before


def test_interventions_are_given_in_seconds_and_stored_per_step(bag, tmp_path, capsys):
    assert main(["label", str(bag), "--intervention", "0.5", "1.0", "--by", "anna"]) == 0
    assert "human 0.50 to 1.00 s" in capsys.readouterr().out
    columns = converted(bag, tmp_path).columns
    seconds = (columns.tick - read_labels(bag)[0].interventions[0][0]) / 1e9 + 0.5
    assert np.array_equal(columns.intervention, (seconds >= 0.5) & (seconds < 1.0))
    assert 0 < columns.intervention.sum() < len(seconds)


def test_without_words_it_shows_who_said_what(bag, capsys):
    main(["label", str(bag), "--comment", "slipped", "--by", "anna"])
    capsys.readouterr()
    assert main(["label", str(bag)]) == 0
    shown = capsys.readouterr().out
    assert "success" in shown and "anna: comment slipped" in shown and len(read_labels(bag)) == 1


def test_a_refused_episode_is_a_row_with_its_reason(bag, tmp_path):
    main(["label", str(bag), "--refuse"])
    (row,) = convert([bag], Options(tmp_path / "set", SPEC))
    assert row.status != "converted" and "is not accepted: a label refuses it;" in row.reason
    main(["label", str(bag), "--accept"])
    assert converted(bag, tmp_path).manifest["label"] == "success"


def test_an_unknown_episode_is_one_sentence(bag, capsys):
    assert main(["label", str(bag), "--episode", "other", "--label", "failure"]) == 1
    assert "has no episode 'other', it has 'episode'" in capsys.readouterr().err
