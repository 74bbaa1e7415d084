"""The policy's process is killed or stopped: another process holds the robot."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from robot_stub import TEXT, Robot, Spinner, patient, wait
from tiny_bundle import write_tiny_bundle

from qtx_ros.nodes.intervention import Intervention
from qtx_ros.spec import Spec

SPEC = patient(Spec.load("sawyer_sim"), 2.0)
ARM = SPEC.commands[0].topic


@pytest.fixture
def robot(context):
    robot = Robot(SPEC, context)
    spinner = Spinner(context, robot.node)
    yield robot
    spinner.close()


@pytest.fixture
def watched(robot, tmp_path):
    """A policy that drives, as a process, and its watchdog's process."""
    bundle = str(write_tiny_bundle(tmp_path, SPEC))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    qtx = [sys.executable, "-m", "qtx_ros"]
    started = [subprocess.Popen([*qtx, verb, "--bundle", bundle], **pipes) for verb in ("policy", "watchdog")]
    try:
        assert wait(lambda: robot.node.count_subscribers("policy/decision") >= 2, 60)
        robot.say(TEXT)
        assert wait(lambda: len(robot.choices()) > 5 and len(robot.commands[ARM]) > 5, 60)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def holds(robot):
    """Wait for commands that keep the robot where it is."""
    robot.commands[ARM].clear()
    return wait(lambda: len(robot.commands[ARM]) > 3 and np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_policy_that_dies_or_hangs_leaves_a_robot_that_is_held(robot, watched, number):
    gripper = robot.commands[ARM][-1][7]
    watched[0].send_signal(number)
    while not holds(robot):  # it may have held by itself at that very moment, on a busy machine
        assert robot.decisions[-1].hold and number == signal.SIGSTOP
        watched[0].send_signal(signal.SIGCONT)
        assert wait(lambda: not robot.decisions[-1].hold)
        watched[0].send_signal(number)
    assert robot.commands[ARM][-1][7] == pytest.approx(gripper)
    robot.positions["right_j1"] -= 0.3  # the hold does not follow an arm that sags
    robot.commands[ARM].clear()
    assert wait(lambda: len(robot.commands[ARM]) > 5)
    assert robot.commands[ARM][-1][1] == pytest.approx(robot.positions["right_j1"] + 0.3)
    if number == signal.SIGSTOP:
        count = len(robot.choices())
        watched[0].send_signal(signal.SIGCONT)
        assert wait(lambda: len(robot.choices()) > count + 3)


def test_a_policy_that_ends_in_order_is_not_held_against(robot, watched):
    watched[0].send_signal(signal.SIGTERM)
    assert watched[0].wait(20) == 0
    assert wait(lambda: robot.decisions[-1].hold)
    watched[1].send_signal(signal.SIGTERM)
    output, _ = watched[1].communicate(timeout=20)
    assert watched[1].returncode == 0 and "holding" not in output and "Traceback" not in output


def test_a_human_may_take_over_from_the_watchdog(robot, watched):
    watched[0].kill()
    assert holds(robot)
    said = Intervention(robot.node, SPEC)
    robot.node.create_timer(0.05, lambda: said.say(True))
    assert wait(lambda: not still_commanded(robot))


def still_commanded(robot):
    count = len(robot.commands[ARM])
    return wait(lambda: len(robot.commands[ARM]) > count, 0.5)


def test_a_watchdog_without_a_contract_says_so():
    process = subprocess.run([sys.executable, "-m", "qtx_ros", "watchdog"], capture_output=True, text=True, timeout=60)
    assert process.returncode == 1 and "neither robot nor bundle is given" in process.stderr
