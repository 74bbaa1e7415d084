"""Fixtures of every test of the policy node."""

from __future__ import annotations

import pytest
from robot_stub import TEXT, begin, make, patient

from qtx_ros import ros
from qtx_ros.spec import Spec

SUCCESS = ros.TransitionCallbackReturn.SUCCESS


@pytest.fixture
def spec():
    return patient(Spec.load("sawyer_sim"))


@pytest.fixture
def pair(context, tmp_path, spec):
    node, robot, spinner = make(context, tmp_path, spec)
    yield node, robot
    spinner.close()


@pytest.fixture
def driving(pair):
    """A node that makes decisions."""
    node, robot = pair
    robot.say(TEXT)
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    begin(robot)
    return node, robot
