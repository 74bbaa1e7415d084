import dataclasses

import numpy as np
import pytest
from tiny_bundle import expected_bins, write_tiny_bundle

from qtx_ros.data.align import Observation
from qtx_ros.deploy.bundle import for_robot, load_bundle
from qtx_ros.deploy.motion import Motion
from qtx_ros.deploy.pilot import Pilot
from qtx_ros.deploy.policy import Choice, Policy
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import ActionDimension, CommandStream, Spec

SPEC = Spec.load("sawyer_sim")
STATE = np.linspace(-0.3, 0.4, 8)


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bundle(tmp_path, SPEC)


@pytest.fixture
def pilot(folder):
    return Pilot(Policy.load(folder, device="cpu"))


def observation(brightness=100, state=STATE, problems=(), instruction="go"):
    frame = np.full((64, 64, 3), brightness - 5, np.uint8)
    frame[32:] += 10
    frames = {} if problems else {"front": frame}
    return Observation(0, frames, np.array(state), instruction, {}, {}, {}, tuple(problems))


def test_a_choice_becomes_an_absolute_command(pilot):
    command = pilot.decide(observation())
    values = from_bins(SPEC, expected_bins(SPEC, [100], "go"))
    np.testing.assert_allclose(command.values, [*(STATE[:7] + values[:7]), values[7]])
    assert command.reason == ""


def test_a_hold_keeps_the_first_position_and_the_last_gripper_command(pilot):
    gripper = pilot.decide(observation()).values[7]
    first = pilot.decide(observation(problems=["front is late"]))
    moved = pilot.decide(observation(problems=["front is late"], state=STATE + 0.2))
    np.testing.assert_array_equal(first.values, [*STATE[:7], gripper])
    np.testing.assert_array_equal(moved.values, first.values)
    assert first.choice is None and first.reason == "front is late"


def test_the_next_hold_begins_where_the_robot_is_then(pilot):
    pilot.decide(observation(problems=["late"]))
    pilot.decide(observation())
    held = pilot.decide(observation(problems=["late"], state=STATE + 0.2))
    np.testing.assert_array_equal(held.values[:7], STATE[:7] + 0.2)


def test_what_was_never_measured_nor_commanded_is_not_sent(pilot):
    assert np.isnan(pilot.hold("nothing heard yet", 1).values).all()
    command = pilot.decide(observation(instruction=""))
    np.testing.assert_array_equal(command.values[:7], STATE[:7])
    assert np.isnan(command.values[7])


def test_a_broken_measurement_does_not_replace_the_last_good_one(pilot):
    pilot.decide(observation())
    broken = STATE.copy()
    broken[3] = np.nan
    assert pilot.decide(observation(state=broken)).reason == "measured right_j3 is not a finite number"
    np.testing.assert_array_equal(pilot.hold("again", 2).values[:7], STATE[:7])


def test_after_a_hold_the_network_starts_with_a_new_first_frame(pilot):
    pilot.decide(observation(10))
    pilot.decide(observation(problems=["late"]))
    choice = pilot.decide(observation(250)).choice
    np.testing.assert_array_equal(choice.bins, expected_bins(SPEC, [250], "go"))


def test_a_network_without_an_opinion_holds(pilot):
    choice = pilot.policy
    choice.instruct("go")
    broken = dataclasses.replace(choice.act(observation().frames, STATE), q=np.full(8, np.nan, np.float32))
    pilot.judge(observation())
    command = pilot.settle(observation(), broken)
    assert command.choice is None and "expected finite numbers" in command.reason


def test_a_robot_may_have_its_own_topics_limits_and_ages(folder):
    camera = dataclasses.replace(SPEC.cameras[0], topic="wrist", type="sensor_msgs/msg/CompressedImage", max_age=0.3)
    robot = dataclasses.replace(SPEC, name="mine", cameras=(camera,))
    assert Policy(for_robot(load_bundle(folder), robot), "cpu").spec == robot


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rate": 10.0}, "rate is 10.0, the policy was trained with 20.0"),
        ({"history": 3}, "history is 3, the policy was trained with 2"),
        ({"cameras": (dataclasses.replace(SPEC.cameras[0], width=32),)}, r"cameras\[0\].width is 32"),
        ({"states": (dataclasses.replace(SPEC.states[0], names=SPEC.states[0].names[::-1]),)}, "is 'gripper'"),
    ],
)
def test_a_robot_that_the_network_was_not_trained_for_is_refused(folder, change, sentence):
    with pytest.raises(QtxError, match=sentence):
        for_robot(load_bundle(folder), dataclasses.replace(SPEC, **change))


def test_a_choice_that_is_no_command_is_an_error_and_a_hold_keeps_what_was_sent(pilot):
    """Four absolute dimensions that make a rotation, all in their zero bin."""
    names = [f"orientation.{axis}" for axis in "xyzw"]
    turn = tuple(ActionDimension(name, -1.0, 1.0, bins=3, mode="absolute") for name in names)
    stream = CommandStream("pose", turn, type="geometry_msgs/msg/PoseStamped")
    pilot.spec = dataclasses.replace(SPEC, commands=(stream,))
    pilot._motion, pilot._sent = Motion(pilot.spec), np.full(4, np.nan)

    def settle(values):
        choice = Choice(np.ones(4, int), np.array(values, float), np.ones(4), np.ones((4, 3)), 0, 0)
        return pilot.settle(observation(), choice)

    assert settle([0, 0, 0, 1]).values.tolist() == [0, 0, 0, 1]
    with pytest.raises(QtxError, match=r"rotation \[0.0, 0.0, 0.0, 0.0\] is no quaternion"):
        settle([0, 0, 0, 0])
    assert pilot.hold("no command", 1).values.tolist() == [0, 0, 0, 1]
