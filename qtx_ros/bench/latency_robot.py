"""The robot of `qtx bench latency`, a process of its own: a camera, joint states and an instruction at their rates."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from qtx_ros import ros
from qtx_ros.bench.bags import picture
from qtx_ros.deploy.bundle import read_manifest
from qtx_ros.nodes.fields import build, time_message

INSTRUCTION = "open the drawer"
STATE_RATE = 100.0  # [Hz]
BEST_EFFORT = ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
PICTURES = 32  # different frames


def main(bundle: str, camera_rate: str, height: str, width: str) -> None:
    """Publish until killed."""
    spec = read_manifest(Path(bundle)).spec
    ros.init(args=[])
    node = ros.Node("bench_robot")
    said = node.create_publisher(ros.message(spec.instruction.type), spec.instruction.topic, LATCHED)
    said.publish(ros.message(spec.instruction.type)(data=INSTRUCTION))
    pictures = [picture(int(height), int(width), i / PICTURES) for i in range(PICTURES)]
    cameras = [node.create_publisher(ros.message(c.type), c.topic, BEST_EFFORT) for c in spec.cameras]
    states = [(s, node.create_publisher(ros.message(s.type), s.topic, BEST_EFFORT)) for s in spec.states]
    periods, due = {"camera": 1 / float(camera_rate), "state": 1 / STATE_RATE}, dict.fromkeys(("camera", "state"), 0.0)
    began, frame = time.monotonic(), 0
    while True:
        now = time.monotonic() - began
        for kind in (kind for kind in due if due[kind] <= now):
            due[kind] += periods[kind]
            if kind == "camera":
                frame += 1
                _show(cameras, pictures[frame % PICTURES])
            else:
                _tell(states, now)
        time.sleep(max(0.0, min(due.values()) - (time.monotonic() - began)))


def _stamp():
    return {"stamp": time_message(time.time_ns())}


def _show(cameras: list, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    fields = {"height": height, "width": width, "encoding": "rgb8", "step": 3 * width, "data": pixels.reshape(-1)}
    for publisher in cameras:
        publisher.publish(build("sensor_msgs/msg/Image", {"header": _stamp(), **fields}))


def _tell(states: list, now: float) -> None:
    for stream, publisher in states:
        values = [0.05 * np.sin(now + i) for i in range(len(stream.names))]
        fields = {"header": _stamp(), "name": list(stream.names), stream.field: values}
        publisher.publish(build(stream.type, fields))


if __name__ == "__main__":
    main(*sys.argv[1:])
