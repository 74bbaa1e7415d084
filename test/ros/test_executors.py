"""Executors, callback groups and futures, on whichever backend is there."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from qtx_ros import ros

Empty = ros.service("std_srvs/srv/Trigger")


class Overlap:
    """A callback that knows how many of it run at once."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds, self.now, self.most, self.calls = seconds, 0, 0, 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.now, self.calls = self.now + 1, self.calls + 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self._lock:
            self.now -= 1


def spin_many(node, done, threads: int = 3) -> None:
    executor = ros.MultiThreadedExecutor(num_threads=threads)
    executor.add_node(node)
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()


def test_an_exclusive_group_runs_one_callback_at_a_time(near) -> None:
    callback, group = Overlap(), ros.MutuallyExclusiveCallbackGroup()
    for _ in range(3):
        near.create_timer(0.01, callback, callback_group=group)
    spin_many(near, lambda: callback.calls >= 6)
    assert callback.most == 1


def test_a_reentrant_group_overlaps(near) -> None:
    callback, group = Overlap(), ros.ReentrantCallbackGroup()
    for _ in range(3):
        near.create_timer(0.01, callback, callback_group=group)
    spin_many(near, lambda: callback.most >= 2)


def test_a_slow_callback_does_not_hold_up_another_group(near) -> None:
    release, quick = threading.Event(), []
    near.create_timer(0.01, lambda: release.wait(5), callback_group=ros.MutuallyExclusiveCallbackGroup())
    near.create_timer(0.01, lambda: quick.append(1), callback_group=ros.MutuallyExclusiveCallbackGroup())
    spin_many(near, lambda: len(quick) >= 5 and (release.set() or True))


def test_a_service_may_be_called_from_a_callback_with_threads(near) -> None:
    group, answers = ros.ReentrantCallbackGroup(), []

    def answer(request, response):
        response.success, response.message = True, "here"
        return response

    near.create_service(Empty, "here", answer, callback_group=group)
    client = near.create_client(Empty, "here", callback_group=group)
    assert client.wait_for_service(timeout_sec=30)

    def call() -> None:
        timer.cancel()
        answers.append(client.call(Empty.Request()))

    timer = near.create_timer(0.01, call, callback_group=group)
    spin_many(near, lambda: answers)
    assert answers[0].message == "here"


@pytest.mark.parametrize("kind", [ros.SingleThreadedExecutor, ros.MultiThreadedExecutor])
def test_an_error_in_a_callback_reaches_the_caller(near, kind) -> None:
    def fail() -> None:
        raise ValueError("from the callback")

    executor = kind()
    executor.add_node(near)
    timer = near.create_timer(0.01, fail)
    with pytest.raises(ValueError, match="from the callback"):
        for _ in range(20):
            executor.spin_once(timeout_sec=1.0)
    timer.cancel()
    executor.shutdown()


def test_spinning_ends_when_the_context_does(near) -> None:
    threading.Timer(0.2, lambda: ros.try_shutdown()).start()
    with contextlib.suppress(ros.ExternalShutdownException):
        ros.spin(near)
    assert not ros.ok()


def test_a_future_set_elsewhere_ends_the_wait(near) -> None:
    future, seen = ros.Future(), []
    future.add_done_callback(lambda f: seen.append(f.result()))
    threading.Timer(0.1, lambda: future.set_result("done")).start()
    ros.spin_until_future_complete(near, future, timeout_sec=10)
    assert future.result() == "done" and seen == ["done"]


def test_waiting_for_a_future_gives_up_in_time(near) -> None:
    future = ros.Future()
    ros.spin_until_future_complete(near, future, timeout_sec=0.1)
    assert not future.done()


def test_a_guard_condition_wakes_the_executor(near, spin_until) -> None:
    calls = []
    guard = near.create_guard_condition(lambda: calls.append(threading.current_thread()))
    threading.Timer(0.05, guard.trigger).start()
    spin_until(lambda: calls, near)
    assert calls == [threading.main_thread()]
    guard.trigger()
    spin_until(lambda: len(calls) == 2, near)


def test_subscriptions_made_while_spinning_are_served(near, spin_until) -> None:
    text, got = ros.message("std_msgs/msg/String"), []
    spin_until(lambda: True, near)
    publisher = near.create_publisher(text, "later", 10)
    subscription = near.create_subscription(text, "later", got.append, 10)
    spin_until(lambda: publisher.publish(text(data="x")) or got, near)
    assert near.destroy_subscription(subscription)
    spin_until(lambda: publisher.get_subscription_count() == 0, near)
