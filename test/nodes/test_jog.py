import numpy as np
import pytest

from qtx_ros.data.messages import command_fields
from qtx_ros.nodes.fields import build
from qtx_ros.nodes.jog import Jog
from qtx_ros.spec import Spec

ARM = Spec.from_dict(
    {
        "name": "two_joints",
        "rate": 10.0,
        "cameras": [{"name": "top", "topic": "top/image", "height": 32, "width": 32}],
        "states": [{"topic": "joints", "names": ["a", "b", "c"]}],
        "commands": [
            {
                "topic": "arm",
                "dimensions": [
                    {"name": "a", "low": -0.2, "high": 0.1, "mode": "delta", "limits": [-1.0, 1.0]},
                    {"name": "b", "low": -0.1, "high": 0.1, "mode": "delta"},
                ],
            },
            {
                "topic": "hand",
                "type": "std_msgs/msg/Float64MultiArray",
                "dimensions": [{"name": "grip", "low": 0.0, "high": 1.0}],
            },
        ],
    }
)


def test_a_jogged_joint_moves_from_where_it_is_and_the_others_stay():
    jog = Jog(ARM)
    np.testing.assert_allclose(jog.command([1.0, 0.0, 0.0], [0.5, 0.3, 0.0]), [0.6, 0.3, 0.0])
    np.testing.assert_allclose(jog.command([-0.5, 0.0, 0.0], [0.55, 0.29, 0.0]), [0.45, 0.3, 0.0])


def test_a_jogged_joint_stays_within_its_limits():
    np.testing.assert_allclose(Jog(ARM).command([1.0, 0.0, 0.0], [0.97, 0.0, 0.0])[0], 1.0)


def test_stopping_stays_where_the_robot_is():
    jog = Jog(ARM)
    jog.command([1.0, 0.0, 0.0], [0.5, 0.3, 0.0])
    np.testing.assert_allclose(jog.stop([0.52, 0.3, 0.0]), [0.52, 0.3, 0.0])
    np.testing.assert_allclose(jog.command([0.0, 1.0, 0.0], [0.51, 0.3, 0.0])[:2], [0.52, 0.4])


def test_an_absolute_dimension_is_wound_up_and_stays():
    jog = Jog(ARM)
    values = [jog.command([0.0, 0.0, 1.0], np.zeros(3))[2] for _ in range(12)]
    assert values[0] == pytest.approx(0.1) and values[-1] == pytest.approx(1.0)
    assert jog.command([0.0, 0.0, 0.0], np.zeros(3))[2] == pytest.approx(1.0)
    assert jog.stop(np.zeros(3))[2] == pytest.approx(1.0)


MIXED = Spec.from_dict(
    {
        "name": "arm_on_wheels",
        "rate": 10.0,
        "cameras": [],
        "states": [{"topic": "joints", "names": ["a"]}],
        "commands": [
            {"topic": "arm", "dimensions": [{"name": "a", "low": -0.1, "high": 0.1, "mode": "delta"}]},
            {
                "topic": "cmd_vel",
                "type": "geometry_msgs/msg/Twist",
                "interface": "velocity",
                "dimensions": [
                    {"name": "linear.x", "low": -1.0, "high": 2.0, "limits": [-1.0, 1.5]},
                    {"name": "angular.z", "low": 0.0, "high": 1.0},
                ],
            },
        ],
    }
)


def test_a_velocity_is_as_fast_as_asked_for_and_zero_otherwise():
    jog = Jog(MIXED)
    for _ in range(3):
        np.testing.assert_allclose(jog.command([1.0, 0.5, 0.5], [0.3]), [0.4, 1.0, 0.5])
    np.testing.assert_allclose(jog.command([1.0, -0.5, 0.0], [0.3]), [0.4, -0.5, 0.0])
    np.testing.assert_allclose(jog.command([0.0, 1.0, -1.0], [0.3]), [0.4, 1.5, 0.0])
    np.testing.assert_allclose(jog.stop([0.35]), [0.35, 0.0, 0.0])


def test_a_stop_without_a_state_repeats_positions_and_ends_velocities():
    jog = Jog(MIXED)
    np.testing.assert_equal(jog.stop(None), [np.nan, 0.0, 0.0])
    np.testing.assert_allclose(jog.command([1.0, 1.0, 0.0], [0.3]), [0.4, 1.5, 0.0])
    np.testing.assert_allclose(jog.stop(None), [0.4, 0.0, 0.0])


def test_a_delta_velocity_does_not_wind_up_either():
    stream = {"topic": "arm", "type": "std_msgs/msg/Float64MultiArray", "interface": "effort"}
    stream["dimensions"] = [{"name": "a", "low": -0.1, "high": 0.2, "mode": "delta"}]
    spec = Spec.from_dict({**MIXED.to_dict(), "commands": [stream]})
    np.testing.assert_allclose(Jog(spec).command([1.0], [5.0]), [0.2])


def test_a_motion_begins_with_what_the_robot_was_commanded_by_others():
    jog, hand = Jog(ARM), ARM.commands[1]
    jog.command([1.0, 0.0, 0.0], [0.5, 0.3, 0.0])
    jog.witness(hand, build(*command_fields(hand, np.array([0.7]), 0, ARM.period_ns)))
    np.testing.assert_allclose(jog.stop([0.1, -0.4, 0.0]), [0.1, -0.4, 0.7])  # a policy has moved it in between
    np.testing.assert_allclose(jog.command([1.0, 0.0, 0.0], [0.1, -0.4, 0.0]), [0.2, -0.4, 0.7])
