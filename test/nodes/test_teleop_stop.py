"""A teleop stops a robot that is commanded velocities: when it is let go, on silence, by emergency stop."""

import numpy as np
import pytest
from robot_stub import apart, wait
from teleop_rig import DRIVING, RESTING, rig

from qtx_ros import ros

BOOL = ros.message("std_msgs/msg/Bool")
MODES = pytest.mark.parametrize("mode", ["keyboard", "joy"])
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)


@MODES
def test_a_velocity_is_as_fast_as_asked_for_and_zero_when_let_go(context, mode):
    with rig(context, mode) as desk:
        desk.held = True
        assert desk.commanded(DRIVING)
        assert wait(lambda: len(desk.commands) > 15)
        assert all(np.allclose(values, DRIVING) or np.allclose(values, RESTING) for values in desk.commands)
        desk.held = False
        assert desk.commanded(RESTING) and desk.silent()


@MODES
def test_a_robot_whose_state_falls_silent_is_stopped(context, mode):
    with rig(context, mode) as desk:
        desk.held = True
        assert desk.commanded(DRIVING)
        desk.robot.running = False
        assert desk.commanded(RESTING) and desk.silent()
        assert desk.says("no joint states: nothing is commanded")


def test_space_stops_a_robot_that_was_never_measured(context):
    with rig(context, "keyboard") as desk:
        desk.robot.running = False
        assert wait(lambda: desk.robot.node.count_subscribers("wheels"))
        desk.typed = " "
        assert desk.commanded(RESTING)


def test_handing_back_lets_every_key_go(context):
    with rig(context, "keyboard") as desk:
        desk.held = True
        assert desk.commanded(DRIVING)
        desk.held, desk.typed = False, "5"
        assert desk.commanded(RESTING) and desk.silent()


@MODES
def test_a_clock_that_stands_still_keeps_nobody_from_letting_go(context, mode):
    """As ROS time does after it was set back."""
    with rig(context, mode, use_sim_time=True) as desk:
        desk.held = True
        assert desk.commanded(DRIVING)
        desk.held = False
        assert desk.commanded(RESTING)


@MODES
def test_the_emergency_stop_stops_a_human_until_all_is_let_go(context, mode):
    with rig(context, mode) as desk:
        button = desk.robot.node.create_publisher(BOOL, "emergency_stop", 10)
        desk.held = True
        assert desk.commanded(DRIVING) and wait(button.get_subscription_count)
        button.publish(BOOL(data=True))
        assert desk.commanded(RESTING) and desk.silent()
        assert desk.says("moving by hand is refused until it is let go")
        button.publish(BOOL(data=False))
        assert desk.says("the emergency stop was let go") and desk.silent()
        desk.held = False
        assert desk.silent()  # the keyboard's key counts as released
        desk.held = True
        assert desk.commanded(DRIVING)


@MODES
def test_an_emergency_stop_of_before_the_teleop_is_heard(context, mode):
    with apart("button") as node:
        node.create_publisher(BOOL, "emergency_stop", LATCHED).publish(BOOL(data=True))
        with rig(context, mode) as desk:
            assert desk.says("moving by hand is refused until it is let go")
            desk.held = True
            assert desk.says("the emergency stop is pressed (topic 'emergency_stop'): nothing is commanded")
            assert desk.silent() and not desk.commands
