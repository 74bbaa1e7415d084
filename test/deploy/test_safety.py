import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qtx_ros.deploy import safety
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
LOW, HIGH = np.array([d.limits for d in SPEC.dimensions]).T
RANGE = np.array([d.high - d.low for d in SPEC.dimensions])

anything = st.floats(-1e6, 1e6)
commands = arrays(np.float64, 8, elements=anything)
states = arrays(np.float64, 8, elements=anything)
broken = arrays(np.float64, 8, elements=st.one_of(anything, st.just(np.nan), st.just(np.inf)))
shares = st.floats(1e-3, 1)


@given(commands)
def test_clip_keeps_limits_and_leaves_what_is_inside(command):
    clipped = safety.clip(SPEC, command)
    assert (clipped >= LOW).all() and (clipped <= HIGH).all()
    inside = (command >= LOW) & (command <= HIGH)
    np.testing.assert_array_equal(clipped[inside], command[inside])


@given(commands, states, broken, shares)
def test_no_command_is_further_than_a_step_from_where_the_robot_is(command, state, last, share):
    shaped = safety.shape(SPEC, command, state, last, share)
    origin = safety.hold(SPEC, state, last)
    known = np.isfinite(origin)
    assert np.isfinite(shaped).all()
    assert (np.abs(shaped - origin)[known] <= share * RANGE[known] + 1e-9 * np.abs(origin[known])).all()


@given(commands, states, commands, shares)
def test_a_robot_inside_its_limits_stays_inside(command, state, last, share):
    state, last = np.clip(state, LOW, HIGH), safety.clip(SPEC, last)
    shaped = safety.shape(SPEC, command, state, last, share)
    assert (shaped >= LOW).all() and (shaped <= HIGH).all()


@given(commands, states, commands, shares)
def test_a_robot_outside_its_limits_never_moves_further_out(command, state, last, share):
    shaped = safety.shape(SPEC, command, state, last, share)
    origin = safety.hold(SPEC, state, last)
    assert (shaped >= np.minimum(LOW, origin)).all() and (shaped <= np.maximum(HIGH, origin)).all()


@given(states, commands)
def test_a_hold_is_the_measured_position_and_the_last_gripper_command(state, last):
    held = safety.hold(SPEC, state, last)
    np.testing.assert_array_equal(held[:7], state[:7])
    assert held[7] == last[7]


@given(broken, broken)
def test_a_hold_invents_nothing(state, last):
    held = safety.hold(SPEC, state, last)
    assert all(value in (s, c) for value, s, c in zip(held, state, last, strict=True) if np.isfinite(value))


def test_a_hold_without_measurement_repeats_the_last_command():
    last = np.arange(8.0)
    np.testing.assert_array_equal(safety.hold(SPEC, np.full(8, np.nan), last), last)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, np.nan])
def test_a_step_that_is_no_share_is_refused(share):
    with pytest.raises(QtxError, match="max_step is"):
        safety.limit_step(SPEC, np.zeros(8), np.zeros(8), share)


def test_the_verdict_names_every_reason():
    state = np.zeros(8)
    assert safety.unfit(SPEC, (), state, "go") == ""
    assert safety.unfit(SPEC, ("front is 0.3 s old",), state, "go") == "front is 0.3 s old"
    assert "no instruction on 'instruction'" in safety.unfit(SPEC, (), state, "")
    state[2] = np.inf
    assert safety.unfit(SPEC, (), state, "go") == "measured right_j2 is not a finite number"
