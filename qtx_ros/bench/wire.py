"""`qtx bench wire`: images and joint states from one process to another, header stamp to decoded message."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtx_ros.errors import QtxError

SECONDS_TO_START = 60.0  # another process may start slowly on a busy machine
JOINTS = [f"joint_{i}" for i in range(8)]


@dataclass(frozen=True)
class Stream:
    """One kind of traffic."""

    name: str
    type: str
    rate: float  # [Hz]
    fill: Callable[[Any], None]  # puts the payload into a message
    bytes: int  # of the payload


def _image(height: int, width: int) -> Callable[[Any], None]:
    def fill(msg: Any) -> None:
        msg.height, msg.width, msg.step, msg.encoding = height, width, width * 3, "rgb8"
        msg.data = np.random.default_rng(0).integers(0, 256, height * width * 3, np.uint8)

    return fill


def _joints(msg: Any) -> None:
    msg.name = JOINTS
    msg.position, msg.velocity, msg.effort = (np.arange(len(JOINTS), dtype=np.float64) for _ in range(3))


STREAMS = (
    Stream("image 640x480", "sensor_msgs/msg/Image", 30.0, _image(480, 640), 480 * 640 * 3),
    Stream("image 224x224", "sensor_msgs/msg/Image", 30.0, _image(224, 224), 224 * 224 * 3),
    Stream("joint state", "sensor_msgs/msg/JointState", 100.0, _joints, 8 * 3 * 8),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each stream (10)")
    parser.add_argument("--together", action="store_true", help="all streams at once instead of one after the other")


def main(args: argparse.Namespace) -> int:
    if args.seconds <= 0:
        raise QtxError(f"--seconds is {args.seconds}, expected more than 0")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    groups = [list(STREAMS)] if args.together else [[stream] for stream in STREAMS]
    rows = [row for group in groups for row in receive(group, args.seconds)]
    _report(rows, args)
    return 0


def send(streams: list[Stream], seconds: float) -> None:
    """Publish the streams at their rates for a time; the header stamp is taken just before publishing."""
    from qtx_ros import ros

    ros.init(args=[])
    node = ros.Node("bench_sender")
    for stream in streams:
        msg = ros.message(stream.type)()
        stream.fill(msg)
        publisher = node.create_publisher(ros.message(stream.type), _topic(stream), _qos(ros))
        node.create_timer(1 / stream.rate, lambda msg=msg, publisher=publisher: _publish(node, publisher, msg))
    end = time.monotonic() + SECONDS_TO_START + seconds
    try:
        while time.monotonic() < end:
            ros.spin_once(node, timeout_sec=0.1)
    except (KeyboardInterrupt, ros.ExternalShutdownException):
        pass
    ros.try_shutdown()


def _publish(node: Any, publisher: Any, msg: Any) -> None:
    msg.header.stamp = node.get_clock().now().to_msg()
    msg.header.frame_id = str(int(msg.header.frame_id or 0) + 1)  # counts, so that the receiver sees what was lost
    publisher.publish(msg)


def receive(streams: list[Stream], seconds: float) -> list[dict]:
    """One row per stream: delays [ms] of what a sender in another process published, and how much was lost."""
    from qtx_ros import ros

    ros.init(args=[])
    node, executor = ros.Node("bench_receiver"), ros.SingleThreadedExecutor()
    executor.add_node(node)
    heard: dict[str, list[tuple[int, int]]] = {stream.name: [] for stream in streams}
    for stream in streams:
        listener = _listener(heard[stream.name])
        node.create_subscription(ros.message(stream.type), _topic(stream), listener, _qos(ros))
    sender = _start_sender(streams, seconds)
    try:
        _spin(executor, lambda: all(heard.values()), SECONDS_TO_START)
        if not all(heard.values()):
            raise QtxError(f"no message of {streams[0].name!r} came within {SECONDS_TO_START} s: {_words(sender)}")
        _spin(executor, lambda: False, 1.0)  # warm up
        for samples in heard.values():
            samples.clear()
        _spin(executor, lambda: False, seconds)
    finally:
        sender.kill()
        sender.wait()
        executor.shutdown()
        node.destroy_node()
        ros.try_shutdown()
    return [_row(stream, heard[stream.name]) for stream in streams]


def _listener(samples: list[tuple[int, int]]) -> Callable[[Any], None]:
    def listen(msg: Any) -> None:
        stamp = msg.header.stamp
        samples.append((int(msg.header.frame_id), time.time_ns() - stamp.sec * 10**9 - stamp.nanosec))

    return listen


def _start_sender(streams: list[Stream], seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-m", "qtx_ros.bench.wire", str(seconds), *(stream.name for stream in streams)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _words(sender: subprocess.Popen) -> str:
    """What the sender said, when it failed."""
    sender.kill()
    return " ".join(sender.communicate()[1].split()) or "the sender is running, but nothing arrives"


def _spin(executor: Any, done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and (left := end - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def _row(stream: Stream, samples: list[tuple[int, int]]) -> dict:
    if not samples:
        raise QtxError(f"{stream.name!r} stopped arriving after the first message")
    numbers, delays = np.array(samples).T
    p50, p99 = np.percentile(delays / 1e6, [50, 99])
    sent = int(numbers[-1] - numbers[0]) + 1
    return {
        "stream": stream.name, "rate_hz": stream.rate, "payload_bytes": stream.bytes, "messages": len(samples),
        "lost": sent - len(samples), "p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3),
    }  # fmt: skip


def _report(rows: list[dict], args: argparse.Namespace) -> None:
    from qtx_ros import ros

    how = "at once" if args.together else "one after the other"
    print(f"backend {ros.BACKEND}, {args.seconds:g} s per stream, {how}: header stamp to decoded message")
    print(f"{'':16s} {'Hz':>5s} {'kB':>7s} {'messages':>9s} {'lost':>5s} {'p50 ms':>8s} {'p99 ms':>8s}")
    for row in rows:
        print(f"{row['stream']:16s} {row['rate_hz']:5.0f} {row['payload_bytes'] / 1000:7.1f} {row['messages']:9d} "
              f"{row['lost']:5d} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f}")  # fmt: skip
    print(json.dumps({"benchmark": "wire", "backend": ros.BACKEND, "together": args.together, "streams": rows}))


def _topic(stream: Stream) -> str:
    return "bench/" + stream.name.replace(" ", "_")


def _qos(ros: Any) -> Any:
    return ros.QoSProfile(depth=10)


if __name__ == "__main__":  # the sending process
    send([stream for stream in STREAMS if stream.name in sys.argv[2:]], float(sys.argv[1]))
