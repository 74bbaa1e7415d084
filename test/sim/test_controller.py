import numpy as np
import pytest

from qtx_ros.errors import QtxError
from qtx_ros.sim.controller import TrajectoryController


def controller():
    return TrajectoryController({"a": (-1.0, 1.0), "b": (-2.0, 2.0)}, max_speed=3.0, max_lead=0.15)


def test_a_ramp_is_straight_with_its_velocity_and_then_holds():
    c, measured = controller(), np.zeros(2)
    c.command({"a": 0.1}, 0.1, measured)
    positions, velocities = c.advance(0.05, measured)
    np.testing.assert_allclose(positions, [0.05, 0.0])
    np.testing.assert_allclose(velocities, [1.0, 0.0])
    positions, velocities = c.advance(0.06, measured)
    np.testing.assert_allclose(positions, [0.1, 0.0])
    np.testing.assert_allclose(velocities, 0.0)


def test_targets_stay_within_the_limits():
    c = controller()
    c.command({"a": 5.0, "b": -5.0}, 10.0, np.zeros(2))
    np.testing.assert_allclose(c.goal, [1.0, -2.0])


def test_a_blocked_joint_is_not_led_further_than_allowed():
    c, measured = controller(), np.zeros(2)
    c.command({"b": 1.5}, 0.5, measured)
    for _ in range(100):
        positions, _ = c.advance(0.01, measured)
        assert abs(positions[1]) <= 0.15 + 1e-12


def test_a_new_command_starts_from_the_measured_position():
    c = controller()
    c.command({"a": 0.5}, 1.0, np.zeros(2))
    c.advance(0.5, np.zeros(2))
    c.command({"a": 0.5}, 1.0, np.array([0.2, 0.0]))
    positions, velocities = c.advance(0.1, np.array([0.2, 0.0]))
    assert positions[0] == pytest.approx(0.23)
    assert velocities[0] == pytest.approx(0.3)


NONSENSE = [({"c": 0.0}, 0.1), ({"a": np.nan}, 0.1), ({"a": 0.0}, -1.0), ({"a": 0.0}, np.nan)]


@pytest.mark.parametrize("targets, duration", NONSENSE)
def test_nonsense_is_refused(targets, duration):
    with pytest.raises(QtxError):
        controller().command(targets, duration, np.zeros(2))
