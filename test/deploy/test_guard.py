"""Latches and the dead-man button, by the clock."""

import numpy as np
import pytest

from qtx_ros.deploy.confidence import Confidence, entropies, margins, runners_up
from qtx_ros.deploy.guard import DEADMAN_NS, Deadman, Guard, is_fault

S = 1_000_000_000
FAULT = "camera 'front' is 300 ms old, limit 150 ms"


def test_a_short_fault_ends_by_itself_and_a_long_one_does_not():
    guard = Guard(latch_after=2.0)
    assert guard.reason(FAULT, 0) == FAULT and guard.reason("", S) == ""
    assert guard.reason(FAULT, 2 * S) == FAULT and guard.reason(FAULT, 4 * S) == f"latched after 2 s: {FAULT}; {FAULT}"
    assert guard.reason("", 5 * S) == f"latched after 2 s: {FAULT}"
    assert guard.rearm("") == "" and guard.reason("", 6 * S) == ""


def test_zero_never_latches():
    guard = Guard(latch_after=0.0)
    assert guard.reason(FAULT, 0) == guard.reason(FAULT, 10**15) == FAULT


@pytest.mark.parametrize("expected", ["no instruction on 'instruction' yet", "a human drives", ""])
def test_waiting_for_people_is_no_fault(expected):
    guard = Guard(latch_after=1.0)
    guard.reason(expected, 0)
    assert guard.reason(expected, 10 * S) == expected
    assert is_fault(f"{expected}; {FAULT}") and not is_fault(expected)


def test_waiting_for_a_camera_that_was_never_there_does_not_latch():
    guard, waiting = Guard(latch_after=1.0), "camera 'front' has sent nothing yet on 'camera/image_raw'"
    guard.reason(waiting, 0)
    assert guard.reason(waiting, 10 * S) == waiting
    both = f"{waiting}; no instruction on 'instruction' yet"
    guard.reason(both, 0)
    assert guard.reason(both, 10 * S) == both
    guard.reason(f"{waiting}; {FAULT}", 11 * S)
    assert "latched" in guard.reason(f"{waiting}; {FAULT}", 13 * S)


def test_a_clock_set_back_does_not_latch_early_nor_hide_a_fault_for_ever():
    guard = Guard(latch_after=1.0)
    guard.reason(FAULT, 100 * S)
    assert guard.reason(FAULT, 0) == FAULT
    assert "latched" in guard.reason(FAULT, S)


def test_an_emergency_stop_stays_when_let_go_and_cannot_be_rearmed_while_pressed():
    guard = Guard()
    guard.press(True, "'emergency_stop'")
    assert guard.reason("", 0) == "emergency stop by 'emergency_stop'"
    assert guard.rearm("") == "the emergency stop is still pressed"
    guard.press(False, "'emergency_stop'")
    assert guard.reason("", 0)
    assert guard.rearm(FAULT) == f"something is still wrong: {FAULT}" and guard.reason("", 0)
    assert guard.rearm("a human drives") == "" and guard.reason("", 0) == ""


def test_the_dead_mans_button_must_be_held_and_heard():
    deadman = Deadman()
    assert "joystick is silent" in deadman.reason(0)
    deadman.hear(True, S)
    assert deadman.reason(S + DEADMAN_NS) == ""
    assert "joystick is silent" in deadman.reason(S + DEADMAN_NS + 1)
    deadman.hear(False, 2 * S)
    assert deadman.reason(2 * S) == "the dead-man button is not held"


Q = np.array([[0.5, 0.1, 0.45], [0.2, 0.2, -np.inf]])


def test_margin_and_entropy_by_hand():
    np.testing.assert_allclose(margins(Q), [0.05, 0.0], atol=1e-12)
    weights = np.exp((Q[0] - 0.5) / 0.05)
    p = weights / weights.sum()
    np.testing.assert_allclose(entropies(Q), [-(p * np.log(p)).sum() / np.log(3), 1.0])


def test_the_runner_up_is_the_second_best_bin_that_exists():
    np.testing.assert_array_equal(runners_up(Q), [2, 1])


def test_doubt_is_said_with_its_number_and_only_when_asked_for():
    assert Confidence("off", min_margin=1.0).doubt(Q) == ""
    assert "differ by 0, min_margin is 0.01" in Confidence("hold", min_margin=0.01).doubt(Q)
    assert "is 1, max_entropy is 0.9" in Confidence("slow", max_entropy=0.9).doubt(Q)
    assert Confidence("hold").doubt(Q) == ""
