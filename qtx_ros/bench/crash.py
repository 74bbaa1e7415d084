"""`qtx bench crash`: the recorder is killed with SIGKILL at a random moment of an episode, what is left is salvaged.

Every trial: a recorder process, a robot that publishes on the wire, finished episodes, one that runs, the kill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qtx_ros.errors import QtxError

PATIENCE = 60.0  # [s] for a process to come up on a busy machine
FINISHED = 2  # episodes before the one that is killed
FINISHED_SECONDS = 0.3
CLOSING_EVERY = 5  # every so many trials the kill falls into the closing of the episode
WORST_SECONDS = 1.0  # more of a running episode must not be lost
CAMERA, JOINTS = "camera/image_raw", "joint_states"
RATES = {CAMERA: 30.0, JOINTS: 100.0}  # [Hz]
LOADS = {"joints": (JOINTS,), "camera and joints": (CAMERA, JOINTS)}  # of every other trial; few bytes wait the longest
ROBOT = f"""
name: crash
rate: 30.0
cameras: [{{name: camera, topic: {CAMERA}, height: 224, width: 224}}]
states: [{{topic: {JOINTS}, names: [j0, j1, j2, j3, j4, j5, j6]}}]
commands: [{{topic: commands, type: std_msgs/msg/Float64MultiArray, dimensions: [{{name: j0, low: -1.0, high: 1.0}}]}}]
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=20, help="kills (20)")
    parser.add_argument("--seconds", type=float, default=3.0, help="the kill comes within these after the start (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--folder", type=Path, help="where the bags are written for the time (a temporary folder)")


def main(args: argparse.Namespace) -> int:
    """Exit status 1 if a finished episode was touched, a remainder is unreadable, or more than a second is lost."""
    if args.trials < 1 or args.seconds <= 0:
        raise QtxError(f"--trials is {args.trials} and --seconds is {args.seconds}, both must be positive")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    moments = random.Random(args.seed)
    trials = []
    print(
        f"{'trial':>5}  {'killed':<14} {'after':>6}  {'kept':>6}  {'lost':>7}  {'holes':>5}  {'finished':>8}  readable"
    )
    for number in range(1, args.trials + 1):
        closing = number % CLOSING_EVERY == 0
        after = moments.uniform(0.0, args.seconds)
        with tempfile.TemporaryDirectory(dir=args.folder, prefix="bench_crash_") as folder:
            trials.append(_trial(Path(folder), number, after, moments.uniform(0.0, 0.05) if closing else None))
        _print(trials[-1])
    return _report(trials)


@dataclass
class Trial:
    """What one kill cost."""

    number: int
    load: str  # what the robot publishes
    moment: str  # in what the recorder was killed
    after: float  # [s] from the start of the episode to the kill
    kept: int = 0  # messages of the killed episode in the salvaged bag
    lost: float = 0.0  # [s] from the last message salvaged to the last one published, the worst topic's
    holes: int = 0  # messages missing before the last one salvaged
    finished: int = 0  # finished episodes that are as they were
    readable: bool = False  # every bag of the folder is read to its end by rosbags
    problems: list[str] = field(default_factory=list)


def _trial(folder: Path, number: int, after: float, closing: float | None) -> Trial:
    load = list(LOADS)[number % len(LOADS)]
    trial = Trial(number, load, "running" if closing is None else "closing", after)
    robot, bags = folder / "robot.yaml", folder / "bags"
    robot.write_text(ROBOT)
    command = [sys.executable, "-m", "qtx_ros", "record", "--robot", str(robot), "--out", str(bags)]
    log_path = folder / "recorder.log"
    with open(log_path, "wb") as log:
        recorder = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        with Robot(LOADS[load]) as source:
            source.wait_for_recorder(recorder, lambda: log_path.read_text(errors="replace")[-300:].strip())
            finished = [_short_episode(source) for _ in range(FINISHED)]
            hashes = {path: _hash(path) for path in finished}
            began = time.time_ns()
            source.call("StartEpisode", "recorder/start", instruction="bench")
            time.sleep(after)
            if closing is not None:
                source.send("StopEpisode", "recorder/stop", label="success")
                time.sleep(closing)
            killed = time.time_ns()
            os.killpg(recorder.pid, signal.SIGKILL)
            recorder.wait()
            published = {topic: [t for t in times if began <= t <= killed] for topic, times in source.times.items()}
    finally:
        if recorder.poll() is None:
            os.killpg(recorder.pid, signal.SIGKILL)
            recorder.wait()
    _judge(trial, bags, hashes, published, began)
    return trial


def _short_episode(source: Robot) -> Path:
    source.call("StartEpisode", "recorder/start", instruction="bench")
    time.sleep(FINISHED_SECONDS)
    return Path(source.call("StopEpisode", "recorder/stop", label="success").path)


def _judge(trial: Trial, bags: Path, hashes: dict[Path, str], published: dict[str, list[int]], began: int) -> None:
    """Salvage, and compare with what was published and what was there before."""
    from qtx_ros.bags.recover import salvage

    for found in salvage(bags):
        trial.problems += found.notes if found.path is None else ()
    trial.finished = sum(path.exists() and _hash(path) == before for path, before in hashes.items())
    folders = sorted(path for path in bags.iterdir() if path.is_dir())
    try:
        recorded = {path: _stamps(path) for path in folders}
        trial.readable = not any(path.name.startswith(".") for path in folders)
    except Exception as error:  # a bag that rosbags refuses, for whatever reason, is what this looks for
        trial.problems.append(f"{type(error).__name__}: {error}")
        return
    salvaged: dict[str, set[int]] = {topic: set() for topic in published}
    for path in recorded.keys() - {path.resolve() for path in hashes} - hashes.keys():
        for topic, stamps in recorded[path].items():
            salvaged[topic] |= stamps
    trial.kept = sum(map(len, salvaged.values()))
    for topic, times in published.items():
        last = max(salvaged[topic], default=began)
        first = min(salvaged[topic], default=began)
        trial.lost = max(trial.lost, (max(times, default=last) - last) / 1e9)
        trial.holes += sum(first < t < last and t not in salvaged[topic] for t in times)


def _stamps(bag: Path) -> dict[str, set[int]]:
    """Header stamps [ns] of the robot's topics in a bag."""
    from rosbags.rosbag2 import Reader

    found: dict[str, set[int]] = {topic: set() for topic in RATES}
    with Reader(bag) as reader:
        for connection, _, data in reader.messages():
            if connection.topic.lstrip("/") in found:
                seconds, nanoseconds = struct.unpack_from("<iI", data, 4)
                found[connection.topic.lstrip("/")].add(seconds * 10**9 + nanoseconds)
    return found


def _hash(bag: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(bag.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class Robot:
    """Publishes a raw 640×480 camera and joints (those of `topics`) from a thread, remembers when, and talks to
    the recorder."""

    def __init__(self, topics: tuple[str, ...] = tuple(RATES)) -> None:
        self._topics = topics

    def __enter__(self) -> Robot:
        from qtx_ros import ros

        self._ros, self._context = ros, ros.Context()
        ros.init(args=[], context=self._context)
        self._node = ros.Node("bench_robot", context=self._context)
        self._executor = ros.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._messages = {CAMERA: self._image(), JOINTS: ros.message("sensor_msgs/msg/JointState")()}
        self._messages[JOINTS].name, self._messages[JOINTS].position = [f"j{i}" for i in range(7)], np.zeros(7)
        self._publishers = {t: self._node.create_publisher(type(m), t, 10) for t, m in self._messages.items()}
        self.times: dict[str, list[int]] = {topic: [] for topic in RATES}  # when each message was published [ns]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        return self

    def __exit__(self, *_error) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._ros.try_shutdown(context=self._context)

    def wait_for_recorder(self, recorder: subprocess.Popen, said: Callable[[], str]) -> None:
        """Until it listens to everything, then begin to publish; `said()` is what it printed."""

        def listens() -> bool:
            if recorder.poll() is not None:
                raise QtxError(f"the recorder ended by itself with status {recorder.returncode}: {said()}")
            self._executor.spin_once(timeout_sec=0.05)
            return all(publisher.get_subscription_count() for publisher in self._publishers.values())

        _wait(listens, "the recorder does not listen")
        self._thread.start()

    def call(self, type: str, name: str, **fields: Any) -> Any:
        """Call a service of the recorder; QtxError if it refuses."""
        future = self.send(type, name, **fields)
        self._executor.spin_until_future_complete(future, timeout_sec=PATIENCE)
        answer = future.result()
        if answer is None or not answer.success:
            raise QtxError(f"{name}: {answer.message if answer else 'no answer'}")
        return answer

    def send(self, type: str, name: str, **fields: Any) -> Any:
        """Call a service without waiting for the answer; returns its future."""
        service = self._ros.service(f"qtx_ros/srv/{type}")
        client = self._node.create_client(service, name)
        if not client.wait_for_service(timeout_sec=PATIENCE):
            raise QtxError(f"the recorder does not offer {name} after {PATIENCE:g} s")
        return client.call_async(service.Request(**fields))

    def _publish(self) -> None:
        due = dict.fromkeys(self._topics, time.monotonic())
        while not self._ended.is_set():
            topic = min(due, key=due.get)
            time.sleep(max(0.0, due[topic] - time.monotonic()))
            now, message = time.time_ns(), self._messages[topic]
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            self._publishers[topic].publish(message)
            self.times[topic].append(now)
            due[topic] += 1 / RATES[topic]

    def _image(self) -> Any:
        message = self._ros.message("sensor_msgs/msg/Image")(height=480, width=640, step=1920, encoding="rgb8")
        message.data = np.random.default_rng(0).integers(0, 256, 480 * 1920, np.uint8)
        return message


def _wait(done: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise QtxError(f"{complaint} after {PATIENCE:g} s")


def _print(trial: Trial) -> None:
    what = f"{trial.number:5d}  {trial.load:<17}  {trial.moment:<7}  {trial.after:5.2f}s"
    left = f"{trial.kept:6d}  {trial.lost:6.3f}s  {trial.holes:5d}  {trial.finished:3d} of {FINISHED}"
    said = ["yes" if trial.readable else "NO", *trial.problems]
    print(f"{what}  {left}  {'; '.join(said)}", flush=True)


def _report(trials: list[Trial]) -> int:
    from qtx_ros import ros

    worst = max(trial.lost for trial in trials)
    broken = sum(FINISHED - trial.finished for trial in trials)
    unreadable = sum(not trial.readable for trial in trials)
    holes = sum(trial.holes for trial in trials)
    print(f"\n{len(trials)} kills: at most {worst:.3f} s of a running episode lost, {holes} holes, "
          f"{broken} finished episodes touched, {unreadable} remainders unreadable")  # fmt: skip
    summary = {"worst_lost_s": worst, "finished_touched": broken, "unreadable": unreadable}
    rows = [asdict(trial) for trial in trials]
    print(json.dumps({"benchmark": "crash", "backend": ros.BACKEND, **summary, "rows": rows}))
    return int(worst > WORST_SECONDS or broken > 0 or unreadable > 0)
