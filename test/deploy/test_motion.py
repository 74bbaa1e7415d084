"""Commands keep velocity, acceleration and jerk, and stay inside their limits, whatever the targets."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qtx_ros.deploy.motion import Motion
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, CommandStream, Spec

PERIOD = 0.05
FINE = 0.002  # [s] between looks at a motion
V, A, J = 1.0, 4.0, 40.0


def robot(*limits):
    """A robot with a dimension for each (max_velocity, max_acceleration, max_jerk)."""
    names = [f"joint{i}" for i in range(len(limits))]
    dimensions = tuple(
        ActionDimension(name, -1.0, 1.0, bins=21, limits=(-1.0, 1.0), max_velocity=v, max_acceleration=a, max_jerk=j)
        for name, (v, a, j) in zip(names, limits, strict=True)
    )
    spec = Spec.load("sawyer_sim")
    return dataclasses.replace(spec, commands=(CommandStream("arm", dimensions),))


def travel(motion, targets, streamed, brakes=()):
    """Commands every `FINE` seconds of a motion through targets, one a period; float64 [samples, D]."""
    samples, elapsed = [], None
    for i, target in enumerate(targets):
        step = motion.brake if i in brakes else motion.toward
        argument = samples[-1] if i in brakes and samples else np.zeros(len(target)) if i in brakes else target
        if i in brakes:
            step(argument, elapsed, streamed)
        else:
            step(target, np.zeros(len(target)), elapsed, streamed)
        samples += [motion.at(t) for t in np.arange(0, PERIOD - FINE / 2, FINE)]
        elapsed = PERIOD
    samples += [motion.at(t) for t in np.arange(PERIOD, 4.0, FINE)]
    return np.array(samples)


targets = arrays(np.float64, (12, 1), elements=st.floats(-1, 1))


@settings(max_examples=60, deadline=None)
@given(targets, st.sets(st.integers(1, 11)))
def test_velocity_acceleration_and_jerk_are_kept_at_every_moment(targets, brakes):
    path = travel(Motion(robot((V, A, J))), targets, streamed=True, brakes=brakes)[:, 0]
    velocity = np.diff(path) / FINE
    acceleration = np.diff(velocity) / FINE
    assert np.abs(velocity).max() <= V * (1 + 1e-6)
    assert np.abs(acceleration).max() <= A * (1 + 1e-4) + 1e-6
    assert np.abs(np.diff(acceleration) / FINE).max() <= J * (1 + 1e-3) + 1e-3
    assert np.abs(path).max() <= 1 + 1e-9, "beyond the limits of the targets"
    assert abs(velocity[-1]) < 1e-9, "every motion ends at rest"


@settings(max_examples=30, deadline=None)
@given(targets)
def test_one_command_a_period_keeps_them_too(targets):
    """What a trajectory controller gets: the ends of the periods. Mean velocity and its change are bounded."""
    motion, ends, elapsed = Motion(robot((V, A, None))), [np.zeros(1)], None
    for target in targets:
        ends.append(motion.toward(target, np.zeros(1), elapsed))
        elapsed = PERIOD
    velocity = np.diff(np.array(ends)[:, 0]) / PERIOD
    assert np.abs(velocity).max() <= V + 1e-9
    assert np.abs(np.diff(velocity)).max() <= A * PERIOD + 1e-9


def test_a_long_way_at_full_speed_by_hand():
    motion = Motion(robot((1.0, None, None)))
    assert motion.toward(np.ones(1), np.zeros(1), None) == pytest.approx(0.05)
    assert motion.at(0.5) == pytest.approx(0.5) and motion.at(5.0) == pytest.approx(1.0)
    assert motion.toward(np.ones(1), np.zeros(1), PERIOD) == pytest.approx(0.1)


def test_braking_from_half_speed_by_hand():
    """v = 0.5, a = 4: at rest after 0.125 s and v² / 2a = 0.03125 further on."""
    motion = Motion(robot((0.5, 4.0, None)))
    motion.toward(np.ones(1), np.zeros(1), None, streamed=True)
    motion.toward(np.ones(1), np.zeros(1), 0.5, streamed=True)
    here = motion.at(0.0)
    motion.brake(np.zeros(1), 0.0, streamed=True)
    assert motion.at(0.125) == pytest.approx(here + 0.03125) and motion.at(9.0) == pytest.approx(here + 0.03125)


def test_dimensions_without_limits_go_straight_and_are_interpolated_in_between():
    motion = Motion(robot((V, A, J), (None, None, None)))
    command = motion.toward(np.array([1.0, 0.8]), np.zeros(2), None)
    assert command[1] == pytest.approx(0.8) and command[0] < 0.01
    assert motion.at(PERIOD / 2)[1] == pytest.approx(0.4) and motion.at(1.0)[1] == pytest.approx(0.8)


def test_a_robot_that_heard_nothing_for_long_begins_at_rest():
    motion = Motion(robot((1.0, 4.0, None)))
    for _ in range(5):
        last = motion.toward(np.ones(1), np.zeros(1), None if motion.at(0)[0] != motion.at(0)[0] else PERIOD)
    first = motion.toward(np.ones(1), np.zeros(1), 10 * PERIOD)
    assert first - last == pytest.approx(0.5 * 4.0 * PERIOD**2)


def test_an_unknown_origin_begins_at_its_target_and_an_unknown_hold_stays_unknown():
    motion = Motion(robot((V, A, J)))
    assert np.isnan(motion.at(0.0)).all() and np.isnan(motion.brake(np.array([np.nan]), None)).all()
    assert motion.toward(np.array([0.3]), np.array([np.nan]), None) == pytest.approx(0.3)


def test_what_a_hold_did_not_know_does_not_stay_unknown():
    motion = Motion(robot((V, A, J), (None, None, None)))
    motion.brake(np.array([0.0, np.nan]), None)
    np.testing.assert_allclose(motion.toward(np.array([0.0, 0.5]), np.array([0.0, np.nan]), PERIOD), [0.0, 0.5])


def test_a_stop_without_a_motion_inside_the_limits_holds_at_once(monkeypatch):
    motion = Motion(robot((V, A, J)))
    motion.toward(np.array([0.5]), np.array([0.0]), None)

    def none(*_arguments, **_options):
        raise QtxError("no motion within the limits was found")

    monkeypatch.setattr(motion, "_plan", none)
    assert motion.brake(np.array([0.01]), PERIOD) == 0.01 and motion.at(0.0) == 0.01


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(QtxError, match="max_velocity is -1"):
        robot((-1.0, None, None))
    with pytest.raises(QtxError, match="need a max_velocity"):
        robot((None, 1.0, None))
