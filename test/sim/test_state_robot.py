"""The simulated robot without a camera: joints and the object's pose are all that is seen."""

import json

import numpy as np
import pytest

from qtx_ros.cli import main as run
from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.nodes import sim_messages
from qtx_ros.sim.expert import Expert
from qtx_ros.sim.rollout import rollout
from qtx_ros.sim.world import HAND, OBJECT, World
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_state")


def test_numbers_are_read_by_name_in_any_order():
    world = World("window-open", 3)
    numbers = [*world.positions, *world.privileged[4:11], *world.privileged[:3]]
    np.testing.assert_array_equal(world.read(world.readable), numbers)
    expected = [world.privileged[6], world.positions[2]]
    np.testing.assert_array_equal(world.read(["object/position.z", "right_j2"]), expected)


def test_the_object_of_a_message_is_the_object_of_the_world():
    world = World("door-open", 1)
    stream = SPEC.states[1]
    assert stream.names == OBJECT
    np.testing.assert_array_equal(messages.state(stream, sim_messages.object_pose(world, 5)), world.object_pose)
    assert messages.stamp_ns(sim_messages.object_pose(world, 5)) == 5


def test_the_hand_of_a_message_is_where_the_joints_put_it():
    world = World("door-open", 1)
    stream = SPEC.states[2]
    assert stream.names == HAND
    hand = messages.state(stream, sim_messages.hand_point(world, 5))
    np.testing.assert_allclose(hand, world.scene.kinematics.forward(world.positions[:7]), atol=1e-6)


def test_bags_without_a_camera_hold_what_a_rollout_does(tmp_path):
    collect = ["collect", "--offline", str(tmp_path), "--episodes", "1", "--robot", "sawyer_state", "--mix", "expert"]
    assert run([*collect, "--tasks", "drawer-open", "--seed", "4"]) == 0
    assert run(["convert", str(tmp_path), "--out", str(tmp_path / "set"), "--jobs", "1", "--no-report"]) == 0
    (episode,) = [path.parent for path in (tmp_path / "set").glob("**/manifest.json")]
    world = World("drawer-open", 4)
    expert = Expert(world.task, world.scene)

    def act(image, state):
        assert image.size == 0
        return messages.action(SPEC, expert(world.privileged, world.positions), state)

    steps = list(rollout(world, SPEC, act, binned=False))
    np.testing.assert_allclose(np.load(episode / "state.npy"), [step.state for step in steps], atol=1e-6)
    np.testing.assert_allclose(np.load(episode / "action.npy"), [step.action for step in steps], atol=1e-6)
    assert np.load(episode / "valid.npy").all() and np.load(episode / "reward.npy")[-1] == 1
    assert json.loads((episode / "manifest.json").read_text())["label"] == "success"


def test_what_the_simulator_does_not_offer_is_named():
    data = SPEC.to_dict()
    data["states"][1]["type"] = "sensor_msgs/msg/Imu"
    with pytest.raises(QtxError, match="geometry_msgs/msg/PoseStamped"):
        sim_messages.check(Spec.from_dict(data))
