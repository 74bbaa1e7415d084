"""A simulated robot in a process of its own, and a node that listens to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from qtx_ros import ros

BEST_EFFORT = ros.QoSProfile(depth=20, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    "camera/image_raw": ("sensor_msgs/msg/Image", BEST_EFFORT),
    "joint_states": ("sensor_msgs/msg/JointState", BEST_EFFORT),
    "sim/state": ("std_msgs/msg/Float64MultiArray", BEST_EFFORT),
    "step_event": ("qtx_ros/msg/StepEvent", 50),
    "instruction": ("std_msgs/msg/String", LATCHED),
}


def start(*arguments: str) -> subprocess.Popen:
    """`qtx …` as a process of its own; stop it with `stop`."""
    command = [sys.executable, "-m", "qtx_ros", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def stop(process: subprocess.Popen) -> str:
    """Interrupt the process as Ctrl-C would; returns what it wrote."""
    process.send_signal(signal.SIGINT)
    try:
        output, _ = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return output.decode(errors="replace")


class Listener:
    """Keeps every message with the order it came in, and sends commands."""

    def __init__(self) -> None:
        self.node = ros.Node("listener")
        self.executor = ros.SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.heard: list[tuple[str, object, int]] = []  # topic, message, when it was published [ns]
        for topic, (type, qos) in TOPICS.items():
            self.node.create_subscription(ros.message(type), topic, self._hear(topic), qos)
        self.commands = self.node.create_publisher(
            ros.message("trajectory_msgs/msg/JointTrajectory"), "arm_controller/joint_trajectory", 1
        )
        self._reset = self.node.create_client(ros.service("qtx_ros/srv/Reset"), "sim/reset")

    def _hear(self, topic: str):
        def hear(msg, info) -> None:
            self.heard.append((topic, msg, info["source_timestamp"]))

        return hear

    def on(self, topic: str) -> list:
        return [msg for t, msg, _ in self.heard if t == topic]

    def spin(self, seconds: float, until=lambda: False) -> bool:
        """Listen for a while, or until something holds; returns whether it does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self.executor.spin_once(timeout_sec=0.02)
        return bool(until())

    def reset(self, task: str, seed: int):
        assert self._reset.wait_for_service(timeout_sec=30)
        future = self._reset.call_async(ros.service("qtx_ros/srv/Reset").Request(task=task, seed=seed))
        self.executor.spin_until_future_complete(future, timeout_sec=20)
        self.heard.clear()
        return future.result()

    def joints(self) -> dict[str, float]:
        """The newest joint positions, after a moment of listening."""
        self.spin(0.1)
        msg = self.on("joint_states")[-1]
        return dict(zip(msg.name, msg.position, strict=True))

    def command(self, targets: dict[str, float], seconds: float = 0.05) -> None:
        msg = ros.message("trajectory_msgs/msg/JointTrajectory")()
        point = ros.message("trajectory_msgs/msg/JointTrajectoryPoint")()
        point.positions = list(targets.values())
        point.time_from_start.nanosec = round(seconds * 1e9)
        msg.joint_names, msg.points = list(targets), [point]
        self.commands.publish(msg)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
