"""A robot without cameras is driven by its state alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from robot_stub import patient, wait
from tiny_bundle import expected_bins

from qtx_ros.spec import Spec


@pytest.fixture
def spec():
    return patient(replace(Spec.load("sawyer_sim"), cameras=(), tick="timer"))


def test_the_state_alone_becomes_a_command_and_its_silence_a_hold(driving):
    _, robot = driving
    decision = robot.choices()[-1]
    bins = expected_bins(robot.spec, [255 * robot.state.mean()], decision.instruction)
    assert not robot.spec.cameras and list(decision.bins) == bins.tolist()
    assert decision.camera_stamp.sec == 0
    robot.running = False
    assert wait(lambda: robot.holds() and "joint_states" in robot.holds()[-1].reason)
