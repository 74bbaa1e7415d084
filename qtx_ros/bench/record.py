"""`qtx bench record`: two raw 640×480 cameras at 30 Hz and joints at 100 Hz into a bag, in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtx_ros.bench.meter import Meter, Usage
from qtx_ros.bench.record_load import ROBOT
from qtx_ros.errors import QtxError

PATIENCE = 60.0  # [s] for a process to come up on a busy machine
SPLIT_MIB = 512
PLAIN_SECONDS = 20.0  # of the comparison, at most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="duration of the recording (60)")
    parser.add_argument("--discard", action="store_true", help="delete finished files while recording: long runs")
    parser.add_argument("--best-effort", action="store_true", help="publish best effort instead of reliable")
    parser.add_argument("--folder", type=Path, help="where the bags are written for the time (a temporary folder)")


def main(args: argparse.Namespace) -> int:
    if args.seconds < 3:
        raise QtxError(f"--seconds is {args.seconds}, expected at least 3")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="bench_record_") as folder:
        ours = record(Path(folder), args.seconds, args.best_effort, args.discard)
        plain = record_plainly(Path(folder), min(args.seconds, PLAIN_SECONDS), args.best_effort)
    _report([ours, plain], args)
    return 0


@dataclass(frozen=True)
class Row:
    """One recorder's figures."""

    name: str
    usage: Usage
    sent: int
    recorded: int
    bytes: int
    problems: list[str]

    @property
    def lost(self) -> int:
        return self.sent - self.recorded


class Bin(threading.Thread):
    """Counts the messages of finished files of a running recording, and deletes them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._ended = folder, threading.Event()
        self.counts: Counter[str] = Counter()
        self.bytes = 0

    def run(self) -> None:
        while not self._ended.wait(0.5):
            for file in sorted(self._folder.glob(".2*/*.mcap"), key=_number)[:-1]:
                self.empty(file)

    def empty(self, file: Path) -> None:
        """Count one finished file and delete it."""
        self.counts += file_counts(file)
        self.bytes += file.stat().st_size
        file.unlink()

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def file_counts(file: Path) -> Counter[str]:
    """Messages of each topic in a finished MCAP file, as its summary says."""
    from mcap.reader import make_reader

    with open(file, "rb") as stream:
        summary = make_reader(stream).get_summary()
    counts = summary.statistics.channel_message_counts
    return Counter({channel.topic: counts.get(number, 0) for number, channel in summary.channels.items()})


def record(folder: Path, seconds: float, best_effort: bool, discard: bool) -> Row:
    """Our recorder under the load."""
    robot = folder / "robot.yaml"
    robot.write_text(ROBOT)
    options = ["-p", f"split_mib:={SPLIT_MIB if discard else 0}"]
    command = ["-m", "qtx_ros", "record", "--robot", robot, "--out", folder / "ours", "--ros-args", *options]
    bin = Bin(folder / "ours")
    with _child(*command) as recorder, _Remote() as remote:
        remote.start()
        if discard:
            bin.start()
        sender = subprocess.Popen(_sender(best_effort), stdout=subprocess.PIPE, text=True)
        meter = Meter(recorder.pid)
        try:
            remote.wait_for_messages()
            meter.start()
            time.sleep(seconds)
            usage = meter.stop()
        finally:
            sent = _end(sender)
        answer = remote.stop()
    if discard:
        bin.stop()
    for file in sorted((folder / "ours").glob("2*/*.mcap")):
        bin.empty(file)
    return _row("qtx record", usage, sent["sent"], bin.counts, bin.bytes, list(answer.problems))


def record_plainly(folder: Path, seconds: float, best_effort: bool) -> Row:
    """The plain recorder under the same load."""
    bag = folder / "plain"
    more = ["--best-effort"] if best_effort else []
    with _child("-m", "qtx_ros.bench.record_load", "plain", "--folder", bag, *more) as recorder:
        sender = subprocess.Popen(_sender(best_effort), stdout=subprocess.PIPE, text=True)
        meter = Meter(recorder.pid)
        try:
            _wait(lambda: _size(bag) > 10 << 20, "the plain recorder writes nothing")
            meter.start()
            time.sleep(seconds)
            usage = meter.stop()
        finally:
            sent = _end(sender)
        recorded = _end(recorder)
    return _row("plain subscriptions, rosbags.Writer", usage, sent["sent"], recorded["recorded"], _size(bag), [])


def _row(name: str, usage: Usage, sent: dict, recorded: dict, size: int, problems: list[str]) -> Row:
    return Row(name, usage, sum(sent.values()), sum(recorded[topic] for topic in sent), size, problems)


def _sender(best_effort: bool) -> list[str]:
    return [sys.executable, "-m", "qtx_ros.bench.record_load", "send", *(["--best-effort"] if best_effort else [])]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())


def _wait(done: Any, complaint: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise QtxError(f"{complaint} after {PATIENCE:g} s")
        time.sleep(0.1)


@contextlib.contextmanager
def _child(*arguments: Any):
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen) -> dict:
    """End a child; the JSON it printed last."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    if process.stdout.closed:
        return {}
    lines = process.communicate(timeout=PATIENCE)[0].splitlines()
    with contextlib.suppress(ValueError, IndexError):
        return json.loads(lines[-1])
    return {}


class _Remote:
    """Talks to the recorder."""

    def __enter__(self) -> _Remote:
        from qtx_ros import ros

        self._ros, self._context = ros, ros.Context()
        ros.init(args=[], context=self._context)
        self._node = ros.Node("bench", context=self._context)
        self._executor = ros.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._messages = 0
        status = ros.message("qtx_ros/msg/RecorderStatus")
        self._node.create_subscription(status, "recorder/status", self._hear, 10)
        return self

    def __exit__(self, *_) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._ros.try_shutdown(context=self._context)

    def start(self) -> None:
        self._call("StartEpisode", "recorder/start", instruction="bench")

    def stop(self) -> Any:
        """Stop the episode; the recorder's answer."""
        return self._call("StopEpisode", "recorder/stop", label="success")

    def wait_for_messages(self) -> None:
        def heard() -> bool:
            self._executor.spin_once(timeout_sec=0.1)
            return self._messages > 200

        _wait(heard, "the recorder hears nothing")

    def _hear(self, msg: Any) -> None:
        self._messages = msg.messages

    def _call(self, type: str, name: str, **fields: Any) -> Any:
        service = self._ros.service(f"qtx_ros/srv/{type}")
        client = self._node.create_client(service, name)
        if not client.wait_for_service(timeout_sec=PATIENCE):
            raise QtxError(f"the recorder does not offer {name} after {PATIENCE:g} s")
        future = client.call_async(service.Request(**fields))
        self._executor.spin_until_future_complete(future, timeout_sec=PATIENCE)
        answer = future.result()
        if not answer.success:
            raise QtxError(answer.message)
        return answer


def _report(rows: list[Row], args: argparse.Namespace) -> None:
    from qtx_ros import ros

    kind = "best effort" if args.best_effort else "reliable"
    print(f"backend {ros.BACKEND}: 2 raw cameras 640x480 at 30 Hz, joints at 100 Hz, {kind}")
    print(f"{'':36s} {'s':>6s} {'sent':>7s} {'recorded':>8s} {'lost':>5s} {'core':>6s} {'GB':>6s} {'RSS MiB':>8s} "
          f"{'grew by':>8s}")  # fmt: skip
    for row in rows:
        used = row.usage
        print(f"{row.name:36s} {used.seconds:6.0f} {row.sent:7d} {row.recorded:8d} {row.lost:5d} {used.core:6.3f} "
              f"{row.bytes / 1e9:6.2f} {used.rss_mib:8.1f} {used.rss_growth_mib:8.1f}")  # fmt: skip
    data = [{**vars(row), **vars(row.usage), "lost": row.lost} for row in rows]
    for entry in data:
        del entry["usage"]
    print(json.dumps({"benchmark": "record", "backend": ros.BACKEND, "best_effort": args.best_effort, "rows": data}))
