"""Times, durations, timers, and simulated time from /clock, on whichever backend is there."""

from __future__ import annotations

import time

import pytest

from qtx_ros import ros

Clock = ros.message("rosgraph_msgs/msg/Clock")
Time = ros.message("builtin_interfaces/msg/Time")
BEST_EFFORT = ros.QoSProfile(depth=1, reliability=ros.ReliabilityPolicy.BEST_EFFORT)


def test_arithmetic() -> None:
    start, span = ros.Time(seconds=5, nanoseconds=3), ros.Duration(seconds=1.5)
    assert (start + span).nanoseconds == 6_500_000_003
    assert (start + span) - start == span
    assert (start - span).seconds_nanoseconds() == (3, 500_000_003)
    assert start < start + span and ros.Duration(nanoseconds=-1) < ros.Duration()
    msg = start.to_msg()
    assert (msg.sec, msg.nanosec) == (5, 3)
    assert ros.Time.from_msg(msg).nanoseconds == start.nanoseconds


def test_times_of_different_clocks_do_not_compare() -> None:
    with pytest.raises(TypeError):
        _ = ros.Time(clock_type=ros.ClockType.ROS_TIME) < ros.Time(clock_type=ros.ClockType.STEADY_TIME)


def test_a_timer_keeps_its_rate(near, spin_until) -> None:
    calls = []
    near.create_timer(0.05, lambda: calls.append(time.monotonic()))
    spin_until(lambda: len(calls) >= 11, near)
    assert 0.45 <= calls[10] - calls[0] < 2.0  # no faster than asked; how much slower is up to the machine


def test_a_timer_of_the_steady_clock_goes_on_while_simulated_time_stands_still(spin_until) -> None:
    node = ros.Node("steady", parameter_overrides=[ros.Parameter("use_sim_time", value=True)])
    calls, simulated = [], []
    node.create_timer(0.02, lambda: simulated.append(1))
    node.create_timer(0.02, lambda: calls.append(1), clock=ros.steady_clock())
    spin_until(lambda: len(calls) >= 5, node)
    node.destroy_node()
    assert not simulated


def test_a_cancelled_timer_is_silent_until_reset(near, spin_until) -> None:
    calls, others = [], []
    timer = near.create_timer(0.02, lambda: calls.append(1))
    near.create_timer(0.02, lambda: others.append(1))
    timer.cancel()
    spin_until(lambda: len(others) > 5, near)
    assert timer.is_canceled() and not calls
    timer.reset()
    spin_until(lambda: calls, near)


def test_simulated_time_drives_clock_and_timers(near, spin_until) -> None:
    far = ros.Node("simulated", parameter_overrides=[ros.Parameter("use_sim_time", value=True)])
    calls, steps = [], iter(range(1, 10_000))
    far.create_timer(1.0, lambda: calls.append(far.get_clock().now().nanoseconds))
    clock = near.create_publisher(Clock, "/clock", BEST_EFFORT)

    def advance() -> bool:
        clock.publish(Clock(clock=Time(sec=1000 + next(steps))))
        return len(calls) >= 3

    assert far.get_clock().now().nanoseconds == 0  # nothing heard yet
    spin_until(advance, near, far)
    assert all(ns >= 1000 * 10**9 for ns in calls) and far.get_clock().now().nanoseconds < 10_000 * 10**9
    far.set_parameters([ros.Parameter("use_sim_time", value=False)])
    assert abs(far.get_clock().now().nanoseconds - time.time_ns()) < 10**9
    far.destroy_node()
