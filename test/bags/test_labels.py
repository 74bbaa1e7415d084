"""What people say of a recording afterwards."""

import json

import pytest

from qtx_ros.bags.labels import Label, add_label, current, read_labels
from qtx_ros.errors import QtxError


def test_the_last_word_counts_and_none_is_forgotten(tmp_path):
    add_label(tmp_path, Label(label="success", comment="looked fine"))
    add_label(tmp_path, Label(label="failure", reward=0.25, end="truncated", interventions=((5, 9),)))
    first, second = read_labels(tmp_path)
    assert (first.label, second.label) == ("success", "failure")
    assert "@" in first.by and first.time > 0
    now = current([first, second])
    assert (now.label, now.comment, now.reward, now.end) == ("failure", "looked fine", 0.25, "truncated")
    assert now.interventions == ((5, 9),)


def test_a_word_on_one_episode_leaves_the_others(tmp_path):
    add_label(tmp_path, Label(label="success"))
    add_label(tmp_path, Label(label="failure", episode="b"))
    labels = read_labels(tmp_path)
    assert current(labels, "a").label == "success" and current(labels, "b").label == "failure"


def test_labels_of_the_first_format_are_read(tmp_path):
    entry = {"label": "failure", "comment": "", "time": 7}
    (tmp_path / "labels.json").write_text(json.dumps({"format": 1, "labels": [entry]}))
    assert read_labels(tmp_path) == [Label(label="failure", time=7)]


def test_a_bag_that_is_a_file_has_its_labels_beside_it(tmp_path):
    bag = tmp_path / "old.mcap"
    bag.touch()
    add_label(bag, Label(label="success"))
    assert (tmp_path / "old.mcap.labels.json").exists() and read_labels(bag)[0].label == "success"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "is not a list of labels"),
        ("nonsense", "is not a list of labels"),
        ("[" * 100_000, "is not a list of labels"),
        ('{"labels": [{"label": "great"}]}', "label is 'great', expected one of success, failure, discard"),
        ('{"labels": [{"reward": "high"}]}', r"labels\[0\]: reward: got 'high', expected float"),
        ('{"labels": [{"interventions": [[9, 5]]}]}', "ends before it begins"),
    ],
)
def test_a_broken_file_of_labels_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(QtxError, match=sentence) as caught:
        read_labels(tmp_path)
    assert str(tmp_path / "labels.json") in str(caught.value)
