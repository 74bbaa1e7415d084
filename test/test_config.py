"""YAML and JSON of strangers: what they hold, or one sentence, and never more than they may cost."""

from dataclasses import dataclass

import pytest

from qtx_ros import config
from qtx_ros.bench import bombs
from qtx_ros.errors import QtxError


@dataclass(frozen=True)
class Thing:
    size: int = 0
    weight: float = 0.0


def test_aliases_are_read_as_long_as_they_expand_to_little():
    assert config.parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 3}}", "f") == {"a": [1, 2], "b": [1, 2], "c": {"d": 3}}


@pytest.mark.parametrize("name", bombs.YAMLS)
def test_hostile_yaml_is_data_or_a_sentence(name):
    try:
        config.parse_yaml(bombs.YAMLS[name]("a: 1\nb: [2]"), "robot.yaml")
    except QtxError as error:
        assert str(error).startswith("robot.yaml") and "\n" not in str(error)
    else:
        assert name in ("nothing", "a list")


@pytest.mark.parametrize("name", bombs.JSONS)
def test_hostile_json_is_data_or_a_sentence(name):
    try:
        config.parse_json(bombs.JSONS[name]('{"a": "b", "c": [2]}'), "labels.json")
    except QtxError as error:
        assert str(error).startswith("labels.json") and "\n" not in str(error)
    else:
        assert name == "a list"


@pytest.mark.parametrize("value", ["2024-99-99", "!!int x", "!!timestamp x", "!!bool x", "!!binary x", "&a [*a]"])
def test_values_that_no_parser_understands_are_a_sentence(value):
    with pytest.raises(QtxError, match="^robot.yaml"):
        config.parse_yaml(f"a: {value}", "robot.yaml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"size": 1 << 70}, "71 bits, expected at most 63"),
        ({"weight": 10**400}, "1329 bits, no float is that large"),
        ({"size": "x" * 9000}, "xxx…, expected int"),
        ({"size": [10**5000]}, "a list, expected int"),
    ],
)
def test_absurd_values_are_named_and_not_printed_whole(data, said):
    with pytest.raises(QtxError, match=said) as caught:
        config.build(Thing, data, "thing")
    assert len(str(caught.value)) < 300


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "robot.yaml"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(QtxError, match="has more than 4194304 bytes"):
        config.read(path)
