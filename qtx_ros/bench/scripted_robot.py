"""A robot process that publishes what a script says, at real rates, and breaks on command.

`python -m qtx_ros.bench.scripted_robot`: the simulated arm's contract, a camera at 20 Hz and joints at 80 Hz. The arm
swings whatever it is told, so that a command which keeps it in place shows as one. Each line of standard input is a
JSON object: `{"fault": NAME}` with a name of `faulty_sensors.FAULTS` ("": none), `{"shift": SECONDS}` sets its clock.
It answers with the moment [ns, monotonic] of the first message that differs from the one before the change.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from typing import Any

import numpy as np

from qtx_ros.bench.faulty_sensors import CAMERA, CLEAN, FAULTS, JOINTS

CLOCK = "/clock"
RATES = {CAMERA: 20.0, JOINTS: 80.0, CLOCK: 250.0}  # [Hz]
TYPES = {
    CAMERA: "sensor_msgs/msg/Image",
    JOINTS: "sensor_msgs/msg/JointState",
    CLOCK: "rosgraph_msgs/msg/Clock",
}
INSTRUCTION = "open the drawer"
HEIGHT = WIDTH = 128
NAMES = (*(f"right_j{i}" for i in range(7)), "gripper")
CENTRES = np.array([-2.1, -1.4, -0.7, 0.0, 0.7, 1.4, 2.1, 0.5])  # [rad] far apart: a mixed-up joint is seen
SWINGS = np.array([0.2, 0.2, 0.11, 0.17, 0.07, 0.13, 0.05, 0.0])  # [rad]
PHASES = np.array([0.0, 0.25, 0.1, 0.6, 0.35, 0.8, 0.5, 0.0])  # of a period: never do all joints turn at once
SWING_SECONDS = 2.0


def positions(seconds: np.ndarray | float) -> np.ndarray:
    """Where the arm is at a time of the monotonic clock [s], float64 [..., 8]: triangle waves, 0.4 rad/s at most."""
    turns = (np.asarray(seconds)[..., None] / SWING_SECONDS + PHASES) % 1.0
    return CENTRES + SWINGS * (4 * np.abs(turns - 0.5) - 1)


class Robot:
    """Publishes its sensors one by one, each when it is due."""

    def __init__(self, simulated: bool = False) -> None:
        """`simulated`: publish `/clock` too, for nodes with `use_sim_time`."""
        from qtx_ros import ros

        self._ros, self._context = ros, ros.Context()
        ros.init(args=[], context=self._context)
        self._node = ros.Node("robot", context=self._context)
        self._orders: queue.SimpleQueue = queue.SimpleQueue()
        self._fault, self._answer = CLEAN, ""  # the topic whose next message is to be told of
        self._shift = 0.0  # [s] of this robot's clock
        self._pictures, self._count = _pictures(), 0
        self._makers = {CAMERA: self._frame, JOINTS: self._joints} | ({CLOCK: self._time} if simulated else {})
        self._types = {topic: ros.message(TYPES[topic]) for topic in self._makers}
        sensor = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
        self._publishers = {t: self._node.create_publisher(type, t, sensor) for t, type in self._types.items()}
        self._due = dict.fromkeys(self._makers, time.monotonic_ns())
        self._say_instruction()

    def _say_instruction(self) -> None:
        ros, string = self._ros, self._ros.message("std_msgs/msg/String")
        latched = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
        self._text = self._node.create_publisher(string, "instruction", latched)
        self._text.publish(string(data=INSTRUCTION))

    def change(self, order: dict) -> None:
        """Take one line of orders, from another thread: a fault by name, or a shift of the clock [s]."""
        self._orders.put(order)

    def step(self) -> None:
        """Wait for what is due next and send it; a fault may send something else, or nothing."""
        topic = min(self._due, key=self._due.get)
        due = self._due[topic]
        time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
        self._due[topic] = due + round(1e9 / RATES[topic])
        while not self._orders.empty():
            self._obey(self._orders.get())
        message = self._makers[topic]()
        messages = self._fault.pass_on(topic, message) if topic in self._fault.topics else [message]
        if self._answer == topic and self._fault.begun:
            self._answer = ""
            print(json.dumps({"at": time.monotonic_ns() if messages else due}), flush=True)
        for message in messages:
            self._publishers[topic].publish(message)

    def _obey(self, order: dict) -> None:
        if "shift" in order:
            self._shift, self._answer = float(order["shift"]), CLOCK
            return
        before, self._fault = self._fault, FAULTS[order["fault"]]()
        self._answer = (self._fault if order["fault"] else before).topic

    def close(self) -> None:
        """Leave the network."""
        self._node.destroy_node()
        self._ros.try_shutdown(context=self._context)

    def _now(self) -> int:
        return time.time_ns() + round(self._shift * 1e9)

    def _time(self) -> Any:
        message = self._types[CLOCK]()
        message.clock.sec, message.clock.nanosec = divmod(self._now(), 10**9)
        return message

    def _frame(self) -> Any:
        self._count += 1
        message = self._types[CAMERA](height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding="rgb8")
        message.data = self._pictures[self._count % len(self._pictures)]
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._now(), 10**9)
        return message

    def _joints(self) -> Any:
        message = self._types[JOINTS](name=list(NAMES))
        message.position = positions(time.monotonic())
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._now(), 10**9)
        return message


def _pictures() -> list[np.ndarray]:
    """Pictures of a box that wanders over a noisy ground, uint8 [H · W · 3] each; no two that follow are the same."""
    noise = np.random.default_rng(0)
    pictures = noise.integers(90, 110, (40, HEIGHT, WIDTH, 3), np.uint8)
    for i, picture in enumerate(pictures):
        left = 40 + 30 * abs(i - 20) // 20
        picture[50:80, left : left + 30] = (200, 60, 40)
    return [picture.reshape(-1) for picture in pictures]


def main(arguments: list[str]) -> int:
    """Publish until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulated", action="store_true", help="publish /clock")
    parser.add_argument("--spare", action="store_true", help="start to publish only when a line comes")
    args = parser.parse_args(arguments)
    print(json.dumps({"ready": True}), flush=True)
    if args.spare and not sys.stdin.readline():
        return 0
    robot = Robot(args.simulated)
    ended = threading.Event()
    threading.Thread(target=_listen, args=(robot, ended), daemon=True).start()
    print(json.dumps({"at": time.monotonic_ns()}), flush=True)
    while not ended.is_set():
        robot.step()
    robot.close()
    return 0


def _listen(robot: Robot, ended: threading.Event) -> None:
    for line in sys.stdin:
        robot.change(json.loads(line))
    ended.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
