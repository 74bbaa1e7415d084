import signal
import subprocess
import sys

import numpy as np
import pytest
from robot_stub import Robot, Spinner, patient, wait
from tiny_bundle import write_tiny_bundle

from qtx_ros import ros
from qtx_ros.spec import Spec

ARM = "arm_controller/joint_trajectory"


@pytest.fixture
def start():
    """Starts `qtx policy` as a process that does not outlive the test."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "qtx_ros", "policy", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def robot():
    context = ros.Context()
    ros.init(args=[], context=context)
    robot = Robot(patient(Spec.load("sawyer_sim"), 2.0), context, policy="/arm/driver")
    spinner = Spinner(context, robot.node)
    yield robot
    spinner.close()
    ros.try_shutdown(context=context)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_told_to_stop_commands_a_hold_and_ends_well(robot, start, tmp_path, number):
    bundle = write_tiny_bundle(tmp_path, robot.spec)
    remaps = [f"{topic}:=/{topic}" for topic in ("camera/image_raw", "joint_states", ARM, "instruction")]
    arguments = [word for remap in remaps for word in ("-r", remap)]
    process = start("--bundle", str(bundle), "--ros-args", "-r", "__ns:=/arm", "-r", "__node:=driver", *arguments)
    robot.say("open the drawer")
    assert wait(lambda: len(robot.choices()) > 3, 60)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "runs on cpu" in output and "Traceback" not in output
    assert wait(lambda: robot.decisions[-1].reason == "the policy's process ends")
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))


def test_a_missing_bundle_ends_the_process_with_a_sentence(start):
    process = start("--bundle", "/nowhere/bundle")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "qtx policy: /nowhere/bundle is not a bundle" in output and "Traceback" not in output
