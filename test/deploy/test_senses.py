"""Frozen cameras and jumping joints, on random sequences."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qtx_ros.data.align import Observation
from qtx_ros.deploy import safety
from qtx_ros.deploy.senses import Senses, frozen, look
from qtx_ros.spec import Spec

MS = 1_000_000
SPEC = Spec.load("sawyer_sim")
MOTION, AFTER = 0.1, 250 * MS
FAST = dataclasses.replace(SPEC, states=(dataclasses.replace(SPEC.states[0], max_speed=2.0),))

positions = st.lists(st.floats(-3, 3), min_size=1, max_size=20)
periods = st.integers(1, 500)


def picture(level: int) -> np.ndarray:
    return np.stack([np.full((4, 8, 3), 0, np.uint8), np.full((4, 8, 3), level, np.uint8)], 0).reshape(8, 8, 3)


def watch(levels, joints, period_ms):
    """Whether the camera counts as frozen at each look."""
    seen, found = None, []
    for k, (level, position) in enumerate(zip(levels, joints, strict=True)):
        now = k * period_ms * MS
        seen = look(seen, picture(level), np.array([position, np.nan]), now, MOTION)
        found.append(frozen(seen, now, AFTER))
    return found


@given(positions, periods)
def test_a_camera_whose_picture_changes_is_never_frozen(joints, period):
    assert not any(watch([k % 2 * 90 + 10 for k in range(len(joints))], joints, period))


@given(st.lists(st.floats(-0.049, 0.049), min_size=1, max_size=20), periods)
def test_a_resting_arm_may_be_seen_in_the_same_picture_for_ever(joints, period):
    assert not any(watch([10] * len(joints), joints, period))


@given(positions, periods)
def test_the_same_picture_for_longer_than_the_limit_after_a_motion_is_frozen_and_stays_so(joints, period):
    found = watch([10] * (len(joints) + 2), [0.0, 0.2, *joints], period)
    assert found == [(k - 1) * period * MS > AFTER for k in range(len(found))]


@given(positions, periods, st.integers(11, 255))
def test_another_picture_ends_it_at_once(joints, period, level):
    steps = 3 + 250 // period
    found = watch([10] * steps + [level], [0.0] + [0.2] * steps, period)
    assert found[-2:] == [True, False]


def test_a_clock_set_back_does_not_hide_a_frozen_camera():
    seen = look(None, picture(9), np.zeros(1), 10_000 * MS, MOTION)
    seen = look(seen, picture(9), np.ones(1), 10_050 * MS, MOTION)
    seen = look(seen, picture(9), np.ones(1), 0, MOTION)
    assert frozen(look(seen, picture(9), np.ones(1), 300 * MS, MOTION), 300 * MS, AFTER)


@given(arrays(np.uint8, (4, 4, 3)))
def test_a_picture_is_blank_exactly_when_no_channel_has_contrast(frame):
    contrast = np.ptp(frame.astype(int), axis=(0, 1)).max()
    assert safety.blank(frame) == (contrast <= safety.BLANK)


@given(st.integers(0, 252), arrays(np.uint8, (4, 4, 3), elements=st.integers(0, 3)))
def test_a_covered_lens_is_blank_in_spite_of_noise(level, noise):
    assert safety.blank(level + noise)


@given(arrays(np.float64, 3, elements=st.floats(-3, 3)), arrays(np.float64, 3, elements=st.floats(-2, 2)), periods)
def test_what_moves_slower_than_it_may_is_not_too_fast(before, speed, period):
    now = before + speed * period / 1000
    assert not safety.too_fast(before, now, period * MS, 2.001).any()
    far = now + np.where(speed < 0, -5, 5) * period / 1000
    assert safety.too_fast(before, far, period * MS, 2.0).all()


def observed(k, position):
    state = np.append(position, np.zeros(7))
    return Observation(k * 50 * MS, {}, state, "go", {"joint_states": 5 * MS}, {}, {}, ())


@given(st.floats(0.11, 3.0), st.integers(1, 30))
def test_a_glitch_is_found_at_once_and_forgotten_with_it(height, length):
    senses = Senses(FAST)
    assert senses.jumps(observed(0, 0.0)) == []
    for k in range(1, length + 1):
        possible = height <= 2.0 * k * 0.05
        sentences = senses.jumps(observed(k, height))
        assert bool(sentences) != possible  # as far away as it could have come since, it counts as moved
        if possible:
            return
        assert f"right_j0 went from 0 to {height:.3g} in {50 * k} ms, max_speed is 2 per second" in sentences[0]
    assert senses.jumps(observed(length + 1, 0.0)) == []


def test_without_a_max_speed_every_motion_is_plausible():
    senses = Senses(SPEC)
    assert not senses.jumps(observed(0, 0.0)) and not senses.jumps(observed(1, 3.0))
