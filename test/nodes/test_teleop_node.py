import os
import pty
import signal
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from own_domain import use_domain
from sim_world import BEST_EFFORT, stop

from qtx_ros import ros
from qtx_ros.data import messages
from qtx_ros.spec import Spec

SPEC = Spec.load("six_joint")
STATE = -0.1 * np.arange(len(SPEC.state_names))
STILL = messages.targets(SPEC, np.zeros(len(SPEC.dimensions)), STATE)[:6]  # the command that keeps the arm where it is


class Robot:
    """Publishes one posture, and keeps the commands that come in."""

    def __init__(self) -> None:
        self.node = ros.Node("robot")
        self.executor = ros.SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.commands: list[np.ndarray] = []
        self.episodes: list = []
        self.human: list[bool] = []
        arm, hand = SPEC.states
        self._arm = self.node.create_publisher(ros.message(arm.type), arm.topic, BEST_EFFORT)
        self._hand = self.node.create_publisher(ros.message(hand.type), hand.topic, BEST_EFFORT)
        self.joy = self.node.create_publisher(ros.message("sensor_msgs/msg/Joy"), "joy", 10)
        self._listen(SPEC.commands[0].type, SPEC.commands[0].topic, self._on_command)
        self._listen("qtx_ros/msg/EpisodeCommand", "episode/command", self.episodes.append)
        self._listen(SPEC.intervention.type, SPEC.intervention.topic, lambda msg: self.human.append(msg.data))
        self.node.create_timer(0.02, self._publish)

    def _listen(self, type: str, topic: str, callback) -> None:
        self.node.create_subscription(ros.message(type), topic, callback, 10)

    def _on_command(self, msg) -> None:
        self.commands.append(messages.command(SPEC.commands[0], msg))

    def _publish(self) -> None:
        names = list(SPEC.states[0].names)
        self._arm.publish(ros.message(SPEC.states[0].type)(name=names, position=STATE[:6].tolist()))
        self._hand.publish(ros.message(SPEC.states[1].type)(data=STATE[6:].tolist()))

    def spin(self, seconds: float, until=lambda: False) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until():
                return True
            self.executor.spin_once(timeout_sec=0.02)
        return bool(until())


@pytest.fixture(scope="module")
def robot():
    use_domain(54)
    ros.init()
    robot = Robot()
    yield robot
    robot.executor.shutdown()
    robot.node.destroy_node()
    ros.try_shutdown()


def teleop(mode: str, stdin: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "qtx_ros", "teleop", "--mode", mode, "--robot", "six_joint"]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_keys_move_any_robot_and_the_terminal_is_given_back(robot):
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    process = teleop("keyboard", terminal)
    try:
        assert robot.spin(60, lambda: robot.node.count_publishers("episode/command") or process.poll() is not None)
        assert not termios.tcgetattr(terminal)[3] & termios.ICANON
        robot.spin(1)
        assert not robot.commands  # nobody touched a key

        os.write(keyboard, b"w")  # the second dimension, upwards
        assert robot.spin(20, lambda: len(robot.commands) > 3)
        moved = robot.commands[0] - STILL
        assert moved[1] > 0 and np.count_nonzero(np.abs(moved) > 1e-9) == 1

        os.write(keyboard, b" ")
        assert robot.spin(20, lambda: np.allclose(robot.commands[-1][1], STATE[1]))

        os.write(keyboard, b"12")
        assert robot.spin(20, lambda: len(robot.episodes) == 2)
        start, end = robot.episodes
        assert start.command == start.START and end.command == end.STOP and end.label == "success"
    finally:
        output = stop(process)
    assert "Traceback" not in output and SPEC.dimensions[1].name in output
    assert termios.tcgetattr(terminal) == before


def test_without_a_terminal_the_keyboard_says_so():
    process = teleop("keyboard", subprocess.DEVNULL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and b"standard input is not one" in output


def test_the_joystick_moves_only_while_its_deadman_is_held(robot):
    robot.commands.clear()
    robot.episodes.clear()
    process = teleop("joy", subprocess.DEVNULL)

    def joy(**buttons: bool) -> None:
        msg = ros.message("sensor_msgs/msg/Joy")(axes=[0.0, 1.0, 0.0, 0.0, -1.0], buttons=[0] * 8)
        for button in buttons:
            msg.buttons[{"start": 0, "deadman": 4, "bank": 5}[button]] = 1
        robot.joy.publish(msg)

    def play(times: int, until=lambda: False, **buttons: bool) -> bool:
        return any(joy(**buttons) or robot.spin(0.04, until) for _ in range(times))

    try:
        assert robot.spin(60, lambda: robot.joy.get_subscription_count() or process.poll() is not None)
        robot.human.clear()  # what a keyboard said in an earlier test
        play(20)
        assert not robot.commands and not robot.human
        assert play(300, lambda: len(robot.commands) > 3, deadman=True)
        assert robot.human and all(robot.human)
        moved = robot.commands[-1] - STILL
        assert moved[0] > 0 and moved[2] < 0 and moved[1] == pytest.approx(0)
        assert play(300, lambda: robot.commands[-1][4] > STATE[4] + 1e-6, deadman=True, bank=True)
        play(20)
        count = len(robot.commands)
        play(20)
        assert len(robot.commands) == count
        np.testing.assert_allclose(robot.commands[-1], STILL, atol=1e-9)
        assert not robot.human[-1]
        assert play(50, lambda: robot.episodes, start=True)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert b"Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_robot_moves_commands_a_stop(robot, number):
    robot.commands.clear()
    process = teleop("joy", subprocess.DEVNULL)
    msg = ros.message("sensor_msgs/msg/Joy")(axes=[0.0, 1.0, 0.0, 0.0, -1.0], buttons=[0, 0, 0, 0, 1, 0, 0, 0])
    try:
        assert robot.spin(60, lambda: robot.joy.publish(msg) or len(robot.commands) > 5)
        process.send_signal(number)
        assert robot.spin(20, lambda: process.poll() is not None)
    finally:
        process.kill()
    robot.spin(0.4)
    assert process.returncode == 0 and b"Traceback" not in process.stdout.read()
    np.testing.assert_allclose(robot.commands[-1], STILL, atol=1e-9)
