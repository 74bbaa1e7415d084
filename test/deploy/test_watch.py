"""Silence of a policy, by the clock."""

from qtx_ros.deploy.watch import Watch

MS = 1_000_000


def test_a_motion_and_then_silence_needs_a_hold():
    watch = Watch(250 * MS)
    watch.decided(False, 0)
    assert watch.reason(250 * MS) == ""
    assert watch.reason(251 * MS) == "the policy moved the robot and has been silent for 251 ms, limit 250 ms"
    watch.decided(False, 300 * MS)
    assert watch.reason(301 * MS) == ""


def test_silence_before_any_motion_or_after_a_hold_needs_nothing():
    watch = Watch(250 * MS)
    assert watch.reason(10_000 * MS) == ""
    watch.decided(False, 0)
    watch.decided(True, 50 * MS)
    assert watch.reason(10_000 * MS) == ""
