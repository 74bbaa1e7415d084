"""A scripted robot that talks to a recorder, and the recorder as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from own_domain import use_domain

from qtx_ros import ros
from qtx_ros.bench.bags import Script, script_messages
from qtx_ros.paths import share
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
BEST_EFFORT = ros.QoSProfile(depth=50, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
RELIABLE = ros.QoSProfile(depth=50)
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)


@contextmanager
def robot_on(domain: int) -> Iterator[Robot]:
    """A scripted robot in a domain of its own, as this process is meanwhile."""
    old = dict(os.environ)
    use_domain(domain)
    ros.init()
    robot = Robot()
    try:
        yield robot
    finally:
        robot.node.destroy_node()
        ros.try_shutdown()
        os.environ.clear()
        os.environ.update(old)


def robot_file(folder: Path, **limits: float) -> Path:
    """sawyer_sim with these limits of its camera, and no others."""
    data = yaml.safe_load(share("config/robot/sawyer_sim.yaml").read_text())
    for stream in (*data["cameras"], *data["states"]):
        for key in ("min_rate", "max_gap", "max_lost"):
            stream.pop(key, None)
    data["cameras"][0] |= limits
    path = Path(folder) / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


class Robot:
    """A node that plays scripted messages in real time, and whoever talks to the recorder."""

    def __init__(self):
        self.node = ros.Node("robot")
        sensors = {stream.topic for stream in (*SPEC.cameras, *SPEC.states)}
        streams = (*SPEC.cameras, *SPEC.states, *SPEC.commands, SPEC.events)
        qos = {stream.topic: BEST_EFFORT if stream.topic in sensors else RELIABLE for stream in streams}
        self.publishers = {f"/{s.topic}": self.publisher(s.type, s.topic, qos[s.topic]) for s in streams}
        self.instruction = self.publisher("std_msgs/msg/String", "instruction", LATCHED)
        self.instruction.publish(ros.message("std_msgs/msg/String")(data="push the button"))
        self.command = self.publisher("qtx_ros/msg/EpisodeCommand", "episode/command", RELIABLE)
        self.events, self.statuses = [], []
        self.listen("qtx_ros/msg/EpisodeEvent", "episode/event", self.events.append)
        self.listen("qtx_ros/msg/RecorderStatus", "recorder/status", self.statuses.append)
        names = {"start": "StartEpisode", "stop": "StopEpisode", "label": "LabelEpisode"}
        self.types = {name: ros.service(f"qtx_ros/srv/{type}") for name, type in names.items()}
        self.clients = {name: self.node.create_client(type, f"recorder/{name}") for name, type in self.types.items()}
        self.sent: Counter[str] = Counter()
        self.data: dict[str, list[bytes]] = {}

    def publisher(self, type, topic, qos):
        return self.node.create_publisher(ros.message(type), topic, qos)

    def listen(self, type, topic, callback):
        self.node.create_subscription(ros.message(type), topic, callback, 10)

    def wait(self, what, seconds=20.0):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "waited in vain"
            ros.spin_once(self.node, timeout_sec=0.05)

    def everybody_listens(self):
        return all(publisher.get_subscription_count() for publisher in self.publishers.values())

    def call(self, name, **fields):
        self.wait(self.clients[name].service_is_ready)
        future = self.clients[name].call_async(self.types[name].Request(**fields))
        ros.spin_until_future_complete(self.node, future, timeout_sec=10)
        return future.result()

    def play(self, seconds=1.0, without=()):
        """Publish a script in real time, but for some topics; what was sent is counted and kept."""
        started = time.time_ns()
        script = Script(SPEC, seconds=seconds, image=(48, 64), start_ns=started, camera_latency=0.01)
        for item in script_messages(script):
            if item.topic in self.publishers and item.topic not in without:
                time.sleep(max(0.0, (item.receive_ns - time.time_ns()) / 1e9))
                self.publishers[item.topic].publish(item.data)
                self.sent[item.topic] += 1
                self.data.setdefault(item.topic, []).append(item.data)


class Process:
    """`qtx record` as a child."""

    def __init__(self, folder: Path, *arguments: str, robot: Path | None = None, **options):
        if robot is None:
            robot = robot_file(next(parent for parent in folder.parents if parent.is_dir()))
        command = [sys.executable, "-m", "qtx_ros", "record", "--robot", robot, "--out", folder, *arguments]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options
        self.child = subprocess.Popen(list(map(str, command)), **options)

    def end(self, number=signal.SIGTERM):
        self.child.send_signal(number)
        output = self.child.communicate(timeout=20)[0]
        assert "Traceback" not in output, output
        return self.child.returncode
