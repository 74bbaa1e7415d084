"""Which commands may be repeated to hold a robot still, and which must be zeroed."""

import dataclasses

import numpy as np
import pytest

from qtx_ros.data import messages
from qtx_ros.deploy import safety
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, CommandStream, Spec

SPEC = Spec.load("sawyer_sim")


def robot(type, interface, *names):
    dimensions = tuple(ActionDimension(name, -1.0, 1.0, bins=21) for name in names)
    return dataclasses.replace(SPEC, commands=(CommandStream("servo", dimensions, type, interface),))


@pytest.mark.parametrize("kind", ["Twist", "TwistStamped"])
def test_a_twist_must_be_a_velocity_and_is_held_at_zero(kind):
    type = f"geometry_msgs/msg/{kind}"
    with pytest.raises(QtxError, match="interface 'position', expected 'velocity'"):
        messages.check(robot(type, "position", "linear.x"))
    spec = robot(type, "velocity", "linear.x", "angular.z")
    messages.check(spec)
    held = safety.hold(spec, np.zeros(len(spec.state_names)), np.array([0.5, -0.5]))
    np.testing.assert_array_equal(held, [0.0, 0.0])
    name, sent = messages.command_fields(spec.commands[0], held, 0, 50_000_000)
    assert name == type and not np.any(messages_read(spec, sent))


def messages_read(spec, sent):
    """The values of nested fields, as somebody who gets the message reads them."""
    from qtx_ros.bench.bags import build

    return messages.command(spec.commands[0], build(spec.commands[0].type, sent))


def test_a_wrench_is_an_effort():
    with pytest.raises(QtxError, match="expected 'effort'"):
        messages.check(robot("geometry_msgs/msg/Wrench", "velocity", "force.z"))


def test_a_gripper_command_is_a_position_and_is_held_where_it_was():
    spec = robot("control_msgs/msg/GripperCommand", "position", "position")
    messages.check(spec)
    held = safety.hold(spec, np.zeros(len(spec.state_names)), np.array([0.04]))
    assert messages.command_fields(spec.commands[0], held, 0, 1)[1]["position"] == 0.04
