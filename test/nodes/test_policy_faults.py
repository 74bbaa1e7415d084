"""Faults on the wire: the robot holds, the reason says why, and it drives on when the fault is over."""

import dataclasses

import numpy as np
import pytest
from robot_stub import TEXT, begin, make, patient, wait

from qtx_ros.spec import Spec

ARM = "arm_controller/joint_trajectory"
FAULTS = [
    ({"contrast": 0}, "camera 'front' shows nothing"),
    ({"size": (60, 80)}, "camera 'front' sends images of 80x60, it began with 160x120"),
    ({"encoding": "yuv999"}, "image encoding is 'yuv999', expected one of"),
    ({"cut": 1000}, "image of 160x120 rgb8 has step 480 and 56600 bytes"),
    ({"ahead": 3600.0}, "has a clock ahead of the receiver's: its stamp lies 3"),
    ({"ahead": -3600.0}, "camera 'front' is 3600"),
]


def holds_for(robot, sentence) -> bool:
    return wait(lambda: any(sentence in decision.reason for decision in robot.holds()))


def drives(robot) -> bool:
    count = len(robot.choices())
    return wait(lambda: len(robot.choices()) > count + 2)


def test_each_fault_holds_with_its_sentence_and_ends_with_the_fault(driving):
    _, robot = driving
    for fault, sentence in FAULTS:
        healthy = {name: getattr(robot, name) for name in fault}
        vars(robot).update(fault)
        assert holds_for(robot, sentence), sentence
        vars(robot).update(healthy)
        assert drives(robot), sentence


def test_a_frozen_camera_holds_until_it_shows_something_else(driving):
    _, robot = driving
    robot.positions["right_j1"] += 0.2
    assert holds_for(robot, "camera 'front' is frozen: still the same picture")
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))
    robot.positions["right_j1"] -= 0.2
    count = len(robot.holds())
    assert wait(lambda: len(robot.holds()) > count + 5) and robot.decisions[-1].hold
    robot.brightness = 120
    assert drives(robot)


def test_a_joint_that_jumps_holds_where_it_was_before(context, tmp_path):
    spec = patient(Spec.load("sawyer_sim"))
    stream = dataclasses.replace(spec.states[0], max_speed=0.1)
    node, robot, spinner = make(context, tmp_path, dataclasses.replace(spec, states=(stream,)), instruction=TEXT)
    node.trigger_configure()
    node.trigger_activate()
    begin(robot)
    before = robot.state
    robot.positions["right_j1"] += 1.0
    assert holds_for(robot, "state 'joint_states': right_j1 went from 0.1 to 1.1 in")
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], before[:7]))
    robot.positions["right_j1"] -= 1.0
    assert drives(robot)
    spinner.close()


@pytest.mark.parametrize("silent", [False, True])
def test_a_clock_that_is_set_back_is_said_and_the_watchdog_goes_on(driving, monkeypatch, silent):
    node, robot = driving
    now = node._now
    monkeypatch.setattr(node, "_now", lambda: now() - 3600 * 10**9)
    robot.running, robot.ahead = not silent, -3600.0
    assert holds_for(robot, "the clock was set back by 3")
    if silent:
        assert holds_for(robot, "camera 'front' has sent nothing yet")
        robot.running = True
    assert drives(robot)
    assert robot.choices()[-1].instruction == TEXT
