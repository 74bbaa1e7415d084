"""Messages that the wire really loses: a receiver that is stopped while its socket overflows."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest

from qtx_ros import ros

BEST_EFFORT = ros.QoSProfile(depth=100, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
RELIABLE = ros.QoSProfile(depth=5)
Image = ros.message("sensor_msgs/msg/Image")


def untold() -> bool:
    """Whether nobody here could know of a loss: rmw_cyclonedds never raises the event `message_lost`."""
    if ros.BACKEND == "dds":
        return False
    from rclpy.utilities import get_rmw_implementation_identifier as middleware

    return middleware() == "rmw_cyclonedds_cpp"


def listen(best_effort: bool) -> None:
    """The receiver: prints how many came and how many were lost."""
    counts = {"came": 0, "lost": 0}

    def lost(info) -> None:
        counts["lost"] += info.total_count_change
        assert counts["lost"] == info.total_count

    def hear(data: bytes) -> None:
        counts["came"] += 1

    ros.init(args=[])
    node = ros.Node("listener")
    events = ros.SubscriptionEventCallbacks(message_lost=lost)
    node.create_subscription(Image, "flood", hear, BEST_EFFORT if best_effort else RELIABLE, event_callbacks=events,
                             raw=True)  # fmt: skip
    while True:
        ros.spin_once(node, timeout_sec=0.1)
        print(counts["came"], counts["lost"], flush=True)


@pytest.mark.skipif(untold(), reason="rclpy on rmw_cyclonedds: Cyclone DDS tells readers nothing of gaps on the wire")
@pytest.mark.parametrize("qos", [BEST_EFFORT, RELIABLE], ids=["best effort", "reliable"])
def test_lost_messages_are_counted(qos, spawn, monkeypatch, ros_context, spin_until) -> None:
    monkeypatch.setenv("QTX_ROS_COUNT_LOST", "1")
    child = spawn(__file__, "1" if qos is BEST_EFFORT else "")
    node = ros.Node("flooder")
    publisher = node.create_publisher(Image, "flood", qos)
    small, large = (Image(height=rows, width=2000, step=2000, encoding="mono8") for rows in (1, 500))
    small.data, large.data = np.zeros(2000, np.uint8), np.zeros(1_000_000, np.uint8)

    def publish(count: int, msg) -> None:
        for _ in range(count):
            publisher.publish(msg)
            time.sleep(0.005)

    def told() -> tuple[int, ...]:
        return tuple(map(int, child.stdout.readline().split()))

    spin_until(lambda: publisher.get_subscription_count() == 1, node)
    deadline = time.monotonic() + 30
    while told()[0] < 5:  # on Fast DDS the first ones come before the listener knows the publisher
        assert time.monotonic() < deadline, "the listener hears nothing"
        publish(1, small)
    for _ in range(30):  # a line at least every 0.1 s
        before = sum(told())
    os.kill(child.pid, signal.SIGSTOP)
    publish(60, large)
    os.kill(child.pid, signal.SIGCONT)
    for _ in range(5):  # what is missing shows when something newer comes
        time.sleep(0.2)
        publish(1, small)
    deadline, came, lost = time.monotonic() + 20, 0, 0
    while came + lost < before + 65:
        assert time.monotonic() < deadline, f"{came} came and {lost} were lost of {before + 65}"
        came, lost = told()
    assert came + lost == before + 65 and came >= 10 and lost > 0
    node.destroy_node()


if __name__ == "__main__":
    listen(bool(sys.argv[1]))
