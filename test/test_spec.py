"""The robot contract: what it accepts, and the sentence it answers with otherwise."""

import pytest

from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.spec import Spec


def minimal(**changes) -> dict:
    robot = {
        "name": "arm",
        "rate": 10,
        "cameras": [{"name": "front", "topic": "image", "height": 8, "width": 8}],
        "states": [{"topic": "joint_states", "names": ["a", "b"]}],
        "commands": [{"topic": "cmd", "dimensions": [{"name": "a", "low": -1, "high": 1, "mode": "delta"}]}],
    }
    return robot | changes


@pytest.mark.parametrize("path", sorted(share("config/robot").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_robots_survive_the_way_through_json(path):
    spec = Spec.load(path)
    assert Spec.from_json(spec.to_json()) == spec
    assert Spec.from_json(spec.to_json()).digest() == spec.digest()


def test_a_shipped_robot_is_found_by_name():
    assert Spec.load("sawyer_sim").name == "sawyer_sim"


def test_dimensions_and_state_names_keep_their_order():
    spec = Spec.load("six_joint")
    assert [d.name for d in spec.dimensions][-1] == "grip"
    assert spec.state_names[-1] == "opening"


def test_a_changed_limit_changes_the_digest():
    other = minimal(commands=[{"topic": "cmd", "dimensions": [{"name": "a", "low": -1, "high": 2, "mode": "delta"}]}])
    assert Spec.from_dict(minimal()).digest() != Spec.from_dict(other).digest()


def test_keys_younger_than_a_training_set_leave_its_digest_alone_until_they_are_set():
    spec = Spec.from_dict(minimal())
    assert not {"frozen_after", "frozen_motion", "max_speed"} & set(spec.to_json().replace('"', " ").split())
    for changes in ({"cameras": [minimal()["cameras"][0] | {"frozen_after": None}]},
                    {"states": [minimal()["states"][0] | {"max_speed": 3.0}]}):  # fmt: skip
        changed = Spec.from_dict(minimal(**changes))
        assert changed.digest() != spec.digest()
        assert Spec.from_json(changed.to_json()) == changed


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rate": 0}, "rate is 0.0"),
        ({"rate": "fast"}, "rate: got 'fast', expected float"),
        ({"speed": 3}, "unknown key 'speed'"),
        ({"history": 0}, "history is 0"),
        ({"tick": "rear"}, "tick is 'rear'"),
        ({"cameras": [], "states": []}, "at least one camera or state entry"),
        ({"cameras": [{"name": "front", "topic": "image", "height": 8}]}, "key 'width' is missing"),
        ({"states": [{"topic": "j", "names": ["a"], "max_speed": 0}]}, "max_speed of 'j' is 0.0, expected more than 0"),
        ({"states": [{"topic": "image", "names": ["a"]}]}, "'image' stand twice"),
        ({"states": [{"topic": "j", "names": ["b"]}]}, "needs the state entry 'a', the robot has b"),
    ],
)
def test_a_wrong_robot_is_refused_with_the_value(changes, sentence):
    with pytest.raises(QtxError, match=sentence):
        Spec.from_dict(minimal(**changes))


@pytest.mark.parametrize(
    ("dimension", "sentence"),
    [
        ({"low": 1, "high": -1}, "low < high"),
        ({"low": float("nan"), "high": 1}, "must be finite"),
        ({"low": -1, "high": 1, "bins": 1}, "bins is 1"),
        ({"low": -1, "high": 1, "bins": 2}, "at least 3"),
        ({"low": -1, "high": 1, "curve": 0.5}, r"curve is 0.5, expected 1 \(bins of one width\) to 4"),
        ({"low": 0, "high": 1, "curve": 2}, "curve 2.0 needs a range around zero, not 0.0 to 1.0"),
        ({"low": -1, "high": 1, "mode": "relative"}, "mode is 'relative'"),
        ({"low": -1, "high": 1, "limits": [2, 1]}, r"limits are \(2.0, 1.0\)"),
        ({"low": -1, "high": 1, "limits": [2]}, "got 1 values"),
    ],
)
def test_a_wrong_dimension_is_refused_with_the_value(dimension, sentence):
    with pytest.raises(QtxError, match=sentence):
        Spec.from_dict(minimal(commands=[{"topic": "cmd", "dimensions": [{"name": "a"} | dimension]}]))


def test_files_that_are_no_robot_are_refused_in_one_sentence(tmp_path):
    for name, content in {"a.yaml": "[1, 2", "b.yaml": "- 1", "c.yaml": "name: \x00"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(QtxError, match=name) as error:
            Spec.load(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(QtxError, match="No such file"):
        Spec.load(tmp_path / "missing.yaml")
