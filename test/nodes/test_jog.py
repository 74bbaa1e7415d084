import numpy as np
import pytest

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
