"""What `qtx bench record` lets run beside it: the robot that publishes, and a plain recorder to compare with.

`python -m qtx_ros.bench.record_load send|plain …`; both end on SIGTERM and print one JSON line.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 480, 640
CAMERAS, CAMERA_HZ, JOINTS_HZ = ("/left/image_raw", "/right/image_raw"), 30.0, 100.0
JOINTS = "/joint_states"
IMAGE, JOINT_STATE = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState"
ROBOT = """
name: bench
rate: 30.0
cameras:
  - {name: left, topic: left/image_raw, height: 224, width: 224, max_lost: 0.0}
  - {name: right, topic: right/image_raw, height: 224, width: 224, max_lost: 0.0}
states:
  - {topic: joint_states, names: [j0, j1, j2, j3, j4, j5, j6], max_lost: 0.0}
commands:
  - {topic: commands, type: std_msgs/msg/Float64MultiArray, dimensions: [{name: j0, low: -1.0, high: 1.0}]}
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("send", "plain"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--best-effort", action="store_true")
    args = parser.parse_args(arguments)
    _until_signal(Sender(args.best_effort) if args.role == "send" else PlainRecorder(args.folder, args.best_effort))
    return 0


def _until_signal(role: Any) -> None:
    """Run a role's `step()` until SIGTERM or SIGINT, then print what its `finish()` returns."""
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: ended.append(number))
    while not ended:
        role.step()
    print(json.dumps(role.finish()), flush=True)


def _qos(best_effort: bool) -> Any:
    from qtx_ros import ros

    kind = ros.ReliabilityPolicy.BEST_EFFORT if best_effort else ros.ReliabilityPolicy.RELIABLE
    return ros.QoSProfile(depth=10, reliability=kind)


def _node(name: str) -> tuple[Any, Any]:
    """A node and its executor, in a context that signals do not touch."""
    from qtx_ros import ros

    context = ros.Context()
    ros.init(args=[], context=context)
    node, executor = ros.Node(name, context=context), ros.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    return node, executor


class Sender:
    """Two cameras and joint states, published as bytes on a fixed grid once somebody listens to all of them."""

    def __init__(self, best_effort: bool) -> None:
        from qtx_ros import ros

        self._node, self._executor = _node("bench_robot")
        self._topics = []
        for topic in (*CAMERAS, JOINTS):
            msg = _joint_state(ros) if topic == JOINTS else _image(ros)
            publisher = self._node.create_publisher(type(msg), topic, _qos(best_effort))
            self._topics.append((publisher, msg, round(1e9 / (JOINTS_HZ if topic == JOINTS else CAMERA_HZ))))
        self._due: list[list[int]] | None = None
        self.sent = dict.fromkeys((*CAMERAS, JOINTS), 0)

    def step(self) -> None:
        """Publish what is due next, when it is due."""
        now = time.monotonic_ns()
        if self._due is None:
            self._wait_for_listeners(now)
            return
        at, index = min((due, i) for i, (due,) in enumerate(self._due))
        if at > now:
            time.sleep(min((at - now) / 1e9, 0.1))
            return
        publisher, msg, period = self._topics[index]
        msg.header.stamp = self._node.get_clock().now().to_msg()
        publisher.publish(msg)
        self._due[index][0] = at + period
        self.sent[publisher.topic_name] += 1

    def finish(self) -> dict:
        time.sleep(1.0)  # what is under way arrives
        return {"sent": self.sent}

    def _wait_for_listeners(self, now: int) -> None:
        self._executor.spin_once(timeout_sec=0.05)
        if all(publisher.get_subscription_count() for publisher, _, _ in self._topics):
            self._due = [[now + 300_000_000 + i * 3_000_000] for i in range(len(self._topics))]


def _image(ros: Any) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3, np.uint8)
    fields = {"height": HEIGHT, "width": WIDTH, "step": WIDTH * 3, "encoding": "rgb8"}
    msg = ros.message(IMAGE)(**fields)
    msg.data = pixels
    return msg


def _joint_state(ros: Any) -> Any:
    msg = ros.message(JOINT_STATE)(name=[f"j{i}" for i in range(7)])
    msg.position, msg.velocity, msg.effort = (np.arange(7, dtype=np.float64) for _ in range(3))
    return msg


class PlainRecorder:
    """What one would write first: decoded messages in callbacks, serialised again by rosbags' own bag writer."""

    def __init__(self, folder: Path, best_effort: bool) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        from qtx_ros import ros

        self._node, self._executor = _node("bench_plain")
        self._writer, self._store = Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP), None
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        self._writer.open()
        self.counts = dict.fromkeys((*CAMERAS, JOINTS), 0)
        for topic in self.counts:
            type = JOINT_STATE if topic == JOINTS else IMAGE
            connection = self._writer.add_connection(topic, type, typestore=self._store)
            hear = lambda msg, c=connection: self._hear(c, msg)  # noqa: E731
            self._node.create_subscription(ros.message(type), topic, hear, _qos(best_effort))

    def _hear(self, connection: Any, msg: Any) -> None:
        from qtx_ros import ros

        self._writer.write(connection, time.time_ns(), ros.serialize(msg))
        self.counts[connection.topic] += 1

    def step(self) -> None:
        self._executor.spin_once(timeout_sec=0.2)

    def finish(self) -> dict:
        self._writer.close()
        return {"recorded": self.counts}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
