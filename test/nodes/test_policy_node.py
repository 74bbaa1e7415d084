import dataclasses
import math

import numpy as np
import pytest
from robot_stub import LATCHED, TEXT, Robot, Spinner, begin, make, patient, wait
from tiny_bundle import expected_bins, write_tiny_bundle

from qtx_ros import ros
from qtx_ros.data import messages
from qtx_ros.deploy.stages import STAGES
from qtx_ros.errors import QtxError
from qtx_ros.nodes.policy_node import PolicyNode
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import Spec

ARM = "arm_controller/joint_trajectory"
SUCCESS, FAILURE = ros.TransitionCallbackReturn.SUCCESS, ros.TransitionCallbackReturn.FAILURE


def test_nothing_is_commanded_before_activation(pair):
    node, robot = pair
    robot.say(TEXT)
    assert node.trigger_configure() == SUCCESS
    assert wait(lambda: not node.driver.aligner.observe(node.get_clock().now().nanoseconds).problems)
    assert wait(lambda: len(robot.diagnostics) >= 2)
    assert not robot.decisions and not robot.messages
    assert robot.diagnostics[-1].message == "not active"


def test_each_frame_becomes_the_networks_decision_and_its_command(driving):
    _, robot = driving
    decision = robot.choices()[-1]
    bins = expected_bins(robot.spec, [100], TEXT)
    assert list(decision.bins) == bins.tolist()
    assert list(decision.names) == [d.name for d in robot.spec.dimensions]
    np.testing.assert_array_equal(decision.values, from_bins(robot.spec, bins))
    assert (np.array(decision.lower) <= decision.values).all() and (decision.values <= np.array(decision.upper)).all()
    assert len(decision.q_all) == sum(decision.bin_counts) == 8 * 256
    assert decision.instruction == TEXT and decision.reason == ""
    target = messages.targets(robot.spec, from_bins(robot.spec, bins), robot.state)
    np.testing.assert_allclose(robot.commands[ARM][-1], target)
    point = robot.messages[-1].points[0]
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 50_000_000)


def test_a_decision_says_when_its_frame_was_taken_received_and_answered(driving):
    _, robot = driving
    times = [
        stamp.sec * 10**9 + stamp.nanosec
        for decision in robot.choices()
        for stamp in (decision.camera_stamp, decision.camera_received, decision.published)
    ]
    assert all(np.diff(np.reshape(times, (-1, 3)), axis=1).ravel() > 0)
    for decision, (stamp, _, published) in zip(robot.choices(), np.reshape(times, (-1, 3)), strict=False):
        assert list(decision.stages) == list(STAGES)
        assert 0 < sum(decision.stage_ms) <= (published - stamp) / 1e6 + 1


def test_a_camera_that_falls_silent_makes_the_robot_hold_where_it_is_until_frames_return(driving):
    node, robot = driving
    robot.blind = True
    assert wait(lambda: len(robot.holds()) > 2)
    assert "camera 'front' is" in robot.holds()[0].reason and "limit 500 ms" in robot.holds()[0].reason
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))
    assert robot.commands[ARM][-1][7] == pytest.approx(from_bins(robot.spec, expected_bins(robot.spec, [100], TEXT))[7])
    assert wait(lambda: robot.diagnostics[-1].message.startswith("holds: camera 'front' is"))
    assert level(robot.diagnostics[-1]) == 2
    robot.blind, count = False, len(robot.choices())
    assert wait(lambda: len(robot.choices()) > count)
    assert wait(lambda: robot.diagnostics[-1].message == "drives")


def test_a_hold_does_not_follow_an_arm_that_sags(driving):
    _, robot = driving
    before = robot.state
    robot.blind = True
    assert wait(lambda: robot.holds() and np.allclose(robot.commands[ARM][-1][:7], before[:7]))
    robot.positions["right_j1"] -= 0.3
    count = len(robot.commands[ARM])
    assert wait(lambda: len(robot.commands[ARM]) > count + 5)
    np.testing.assert_allclose(robot.commands[ARM][-1][:7], before[:7])


def test_silent_joints_make_the_robot_hold(driving):
    node, robot = driving
    robot.send_states = lambda: None
    assert wait(lambda: robot.holds())
    assert "state 'joint_states' is" in robot.holds()[0].reason


def test_a_joint_that_is_not_a_number_makes_the_robot_hold_at_its_last_known_position(driving):
    _, robot = driving
    before = robot.state
    robot.positions["right_j3"] = math.nan
    assert wait(lambda: len(robot.holds()) > 2)
    assert "NaN" in robot.holds()[0].reason
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], before[:7]))
    assert np.isfinite(robot.commands[ARM]).all()


def test_deactivation_ends_with_a_hold_and_then_silence(driving):
    node, robot = driving
    assert node.trigger_deactivate() == SUCCESS
    assert wait(lambda: robot.holds())
    assert robot.holds()[-1].reason == "the policy was deactivated"
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))
    count, seen = len(robot.messages), len(robot.diagnostics)
    assert wait(lambda: len(robot.diagnostics) > seen + 1)
    assert len(robot.messages) == count and robot.decisions[-1].hold
    assert node.trigger_activate() == SUCCESS
    count = len(robot.choices())
    assert wait(lambda: len(robot.choices()) > count)


def test_shutdown_ends_with_a_hold(driving):
    node, robot = driving
    assert node.trigger_shutdown() == SUCCESS
    assert wait(lambda: robot.holds())
    assert robot.decisions[-1].reason == "the policy shuts down"
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))


def test_cleanup_and_configure_again_drives_again(driving):
    node, robot = driving
    for transition in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure, node.trigger_activate):
        assert transition() == SUCCESS
    count = len(robot.choices())
    assert wait(lambda: len(robot.choices()) > count)


def test_the_start_of_an_episode_forgets_the_frames_before_it(driving):
    node, robot = driving
    robot.running = False
    robot.begin_episode()
    assert wait(lambda: node.driver.pilot.policy.fresh)
    robot.brightness = 250
    robot.running = True
    count = len(robot.choices())
    assert wait(lambda: len(robot.choices()) > count)
    assert list(robot.choices()[count].bins) == expected_bins(robot.spec, [250], TEXT).tolist()


def test_without_an_instruction_it_holds_and_the_parameter_gives_one(pair):
    node, robot = pair
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    assert wait(lambda: any(d.reason == "no instruction on 'instruction' yet" for d in robot.holds()))
    assert not robot.messages  # never commanded, and the gripper cannot be measured: nothing to hold
    assert wait(lambda: robot.diagnostics and level(robot.diagnostics[-1]) == 1)
    node.set_parameters([ros.Parameter("instruction", value="press the button")])
    assert wait(lambda: robot.choices())
    assert robot.choices()[0].instruction == "press the button"


def test_commands_stay_within_a_step_of_the_measured_position(context, tmp_path, spec):
    node, robot, spinner = make(context, tmp_path, spec, max_step=0.01, instruction=TEXT)
    node.trigger_configure()
    node.trigger_activate()
    assert wait(lambda: robot.commands[ARM])
    assert np.abs(robot.commands[ARM][-1] - robot.state)[:7] == pytest.approx(0.01 * 0.3)
    spinner.close()


def test_a_network_that_fails_makes_the_robot_hold(driving, monkeypatch):
    node, robot = driving
    monkeypatch.setattr(node.driver.pilot, "choose", lambda observation: 1 / 0)
    assert wait(lambda: robot.holds())
    assert robot.holds()[0].reason == "the network failed: ZeroDivisionError"


def test_a_choice_that_is_no_command_makes_the_robot_hold(driving, monkeypatch):
    node, robot = driving

    def settle(observation, choice):
        raise QtxError("rotation [0, 0, 0, 0] is no quaternion")

    monkeypatch.setattr(node.driver.pilot, "settle", settle)
    assert wait(lambda: robot.holds())
    assert robot.holds()[0].reason == "the network's choice is no command: rotation [0, 0, 0, 0] is no quaternion"
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))


def test_a_robot_description_that_was_there_before_is_heard_while_the_node_is_configured(pair):
    node, robot = pair
    limit = '<limit lower="-0.5" upper="0.5" velocity="1" effort="1"/>'
    urdf = f'<robot name="arm"><joint name="right_j0" type="revolute">{limit}</joint></robot>'
    latched = robot.node.create_publisher(ros.message("std_msgs/msg/String"), "robot_description", LATCHED)
    latched.publish(ros.message("std_msgs/msg/String")(data=urdf))
    for _ in range(8):
        assert node.trigger_configure() == SUCCESS
        assert wait(lambda: node.driver.pilot.spec.dimensions[0].limits == (-0.5, 0.5))
        assert node.trigger_cleanup() == SUCCESS


def test_a_network_that_hangs_makes_the_robot_hold_meanwhile(context, tmp_path, spec, monkeypatch):
    spec = patient(Spec.load("sawyer_sim"), 0.3)
    node, robot, spinner = make(context, tmp_path, spec, instruction=TEXT)
    node.trigger_configure()
    node.trigger_activate()
    begin(robot)
    choose = node.driver.pilot.choose
    monkeypatch.setattr(node.driver.pilot, "choose", lambda o: wait(lambda: len(robot.holds()) > 2) and choose(o))
    assert wait(lambda: len(robot.holds()) > 2)
    assert robot.holds()[0].reason.startswith("the network has not answered for")
    assert wait(lambda: any("the network took" in d.reason for d in robot.holds()))
    spinner.close()


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"bundle": ""}, "parameter 'bundle' is empty"),
        ({"bundle": "/nowhere"}, "/nowhere is not a bundle"),
        ({"bundle": "no_such_model"}, "'models/no_such_model' is not shipped"),
        ({"device": "tpu"}, "device is 'tpu', expected one of auto"),
        ({"robot": "six_joint"}, "does not fit robot 'six_joint'"),
    ],
)
def test_what_cannot_be_configured_is_said_in_a_sentence(context, tmp_path, spec, parameters, sentence):
    node, robot, spinner = make(context, tmp_path, spec, **parameters)
    assert node.trigger_configure() == FAILURE
    assert sentence in node.error
    spinner.close()


def test_the_robots_own_limits_and_topics_count(context, tmp_path, spec):
    stream = spec.commands[0]
    dimensions = tuple(dataclasses.replace(d, limits=(-0.05, 0.05)) for d in stream.dimensions)
    other = dataclasses.replace(
        spec, name="other", commands=(dataclasses.replace(stream, topic="my/commands", dimensions=dimensions),)
    )
    robot_file = tmp_path / "other.json"
    robot_file.write_text(other.to_json())
    bundle = write_tiny_bundle(tmp_path / "bundle", spec)
    overrides = {"bundle": str(bundle), "robot": str(robot_file), "instruction": TEXT}
    node = PolicyNode(context=context, parameter_overrides=[ros.Parameter(k, value=v) for k, v in overrides.items()])
    robot = Robot(other, context)
    robot.positions = dict.fromkeys(robot.positions, 0.0)
    spinner = Spinner(context, node, robot.node)
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    assert wait(lambda: robot.commands["my/commands"])
    assert (np.abs(robot.commands["my/commands"][-1]) <= 0.05).all()
    spinner.close()


def test_a_second_robot_with_two_cameras_and_two_command_topics_is_driven_by_the_same_node(context, tmp_path):
    spec = patient(Spec.load("six_joint"))
    node, robot, spinner = make(context, tmp_path, spec)
    robot.say(TEXT)
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    arm, hand = (stream.topic for stream in spec.commands)
    assert wait(lambda: len(robot.commands[arm]) > 2 and len(robot.commands[hand]) > 2)
    bins = expected_bins(spec, [100], TEXT)
    assert list(robot.choices()[-1].bins) == bins.tolist()
    target = messages.targets(spec, from_bins(spec, bins), robot.state)
    np.testing.assert_allclose(robot.commands[arm][-1], target[:6])
    np.testing.assert_allclose(robot.commands[hand][-1], target[6:])
    robot.running = False
    assert wait(lambda: robot.holds() and np.allclose(robot.commands[arm][-1], robot.state[:6]))
    np.testing.assert_allclose(robot.commands[hand][-1], target[6:])
    spinner.close()


def level(status) -> int:
    return status.level[0] if isinstance(status.level, bytes) else status.level
