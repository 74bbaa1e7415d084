"""`qtx record`: one bag per episode, started, stopped and labelled by service or by topic."""

from __future__ import annotations

import argparse
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.recorder_episodes import EVENT_TYPE, Episodes
from qtx_ros.nodes.recorder_topics import Heard, Topics
from qtx_ros.nodes.run import run
from qtx_ros.spec import Spec

PARAMETERS = {
    "robot": ("sawyer_sim", "robot YAML, or the name of a shipped one"),
    "directory": ("bags", "folder the bags are written to"),
    "extra_topics": (["policy/decision"], "topics to record beside those of the robot"),
    "all_topics": (False, "record every topic there is"),
    "queue_mib": (256, "memory for messages that wait for the disk; what exceeds it is lost [MiB]"),
    "min_free_mib": (500, "refuse to start an episode with less free disk [MiB]"),
}
DISCOVERY_SECONDS = 0.2  # how often to look for topics that appeared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `qtx record`; they are the node's parameters, so `--ros-args -p name:=value` says the same."""
    parser.add_argument("--robot", help=PARAMETERS["robot"][1])
    parser.add_argument("--out", dest="directory", metavar="FOLDER", help=PARAMETERS["directory"][1])
    parser.add_argument("--topics", dest="extra_topics", nargs="+", metavar="TOPIC", help=PARAMETERS["extra_topics"][1])
    parser.add_argument("--all", dest="all_topics", action="store_true", default=None, help=PARAMETERS["all_topics"][1])


def main(args: argparse.Namespace) -> int:
    """Run the node until SIGINT or SIGTERM; the running episode is closed cleanly."""
    given = {name: getattr(args, name, None) for name in PARAMETERS}
    overrides = [ros.Parameter(name, value=value) for name, value in given.items() if value is not None]
    return run(args.ros_args, lambda context: Recorder(overrides, context=context), finish=Recorder.finish)


class Recorder(ros.Node):
    """Listens to everything worth recording from the start; writes it while an episode runs."""

    def __init__(self, overrides: list | None = None, **options) -> None:
        super().__init__("recorder", parameter_overrides=overrides or [], **options)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ros.ParameterDescriptor(description=description, read_only=True))
        values = {name: self.get_parameter(name).value for name in PARAMETERS}
        spec = Spec.load(values["robot"])
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._events = self.create_publisher(ros.message(EVENT_TYPE), "episode/event", 10)
        self._episodes = Episodes(
            Path(values["directory"]).expanduser(), spec, self._now, self._announce,
            self.resolve_topic_name("episode/event"), values["queue_mib"], values["min_free_mib"],
        )  # fmt: skip
        self._latched: dict[str, bytes] = {}  # last message of each latched topic
        self._instruction_topic, self._instruction = self.resolve_topic_name(spec.instruction.topic), ""
        self._topics = Topics(self, spec, values["extra_topics"], values["all_topics"], self._hear)
        self._topics.on_new = self._episodes.declare
        self._status = _Status(self, self._episodes, self._topics)
        self._offer_control()
        self.create_timer(DISCOVERY_SECONDS, self._topics.refresh)
        self.create_timer(1.0, self._status.publish)
        self.get_logger().info(f"records {spec.name} into {self._episodes.directory.resolve()}")

    def finish(self) -> None:
        """Close the running episode: the process is about to end."""
        if self._episodes.running is not None:
            self._try(self._stop)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    # --- what others may ask for ---

    def _offer_control(self) -> None:
        def service(type: str, name: str, work: Callable[[Any], dict]) -> None:
            self.create_service(ros.service(type), name, lambda asked, answer: self._answer(asked, answer, work))

        service("qtx_ros/srv/StartEpisode", "~/start", lambda r: {"episode": self._start(r.instruction)})
        service("qtx_ros/srv/StopEpisode", "~/stop", lambda r: self._stop(r.label, r.comment))
        service("qtx_ros/srv/LabelEpisode", "~/label", lambda r: self._label(r.label, r.comment, r.episode))
        self.create_subscription(ros.message("qtx_ros/msg/EpisodeCommand"), "episode/command", self._obey, 10)

    def _start(self, instruction: str) -> str:
        name = self._episodes.start(instruction or self._instruction, self._topics.known(), self._latched)
        self.get_logger().info(f"episode {name} started: {instruction or self._instruction!r}")
        return name

    def _stop(self, label: str = "", comment: str = "") -> dict:
        recording, path = self._episodes.stop(label, comment)
        written, lost = sum(recording.counts.values()), sum(recording.lost.values())
        log = self.get_logger().warning if lost else self.get_logger().info
        log(f"episode {recording.name} {'stopped' if path else 'discarded'}: {written} messages, {lost} lost")
        return {"episode": recording.name, "path": str(path.resolve()) if path else ""}

    def _label(self, label: str, comment: str, episode: str) -> dict:
        return {"message": f"{self._episodes.label(label, comment, episode)}: {label}"}

    def _answer(self, request: Any, response: Any, work: Callable[[Any], dict]) -> Any:
        try:
            fields = {"success": True, **work(request)}
        except QtxError as error:
            self.get_logger().error(str(error))
            fields = {"success": False, "message": str(error)}
        for name, value in fields.items():
            setattr(response, name, value)
        return response

    def _obey(self, msg: Any) -> None:
        """EpisodeCommand, for peers that cannot call services."""
        work = {
            msg.START: lambda: self._start(msg.instruction),
            msg.STOP: lambda: self._stop(msg.label, msg.comment),
            msg.LABEL: lambda: self._label(msg.label, msg.comment, msg.episode),
        }.get(msg.command)
        if work is None:
            self.get_logger().error(f"episode/command is {msg.command}, expected 1 (start), 2 (stop) or 3 (label)")
        else:
            self._try(work)

    def _try(self, work: Callable) -> None:
        try:
            work()
        except QtxError as error:
            self.get_logger().error(str(error))

    # --- messages ---

    def _hear(self, heard: Heard) -> None:
        """One serialised message of a subscribed topic."""
        if heard.latched:
            self._latched[heard.topic] = heard.data
        if heard.topic == self._instruction_topic:
            self._instruction = ros.deserialize(heard.data, "std_msgs/msg/String").data
        recording = self._episodes.running
        if recording is None:
            return
        received, published = self._now(), heard.source_ns or None
        if self._simulated:  # a stamp from /clock may overtake /clock itself
            received, published = max(received, heard.stamp_ns()), None
        if not recording.write(heard.topic, received, heard.data, published):
            reason = recording.error or "the disk is too slow"
            self.get_logger().error(f"messages are being lost: {reason}", throttle_duration_sec=5.0)

    def _announce(self, event: Any) -> None:
        self._events.publish(event)


class _Status:
    """Publishes RecorderStatus."""

    def __init__(self, node: Recorder, episodes: Episodes, topics: Topics) -> None:
        self._node, self._episodes, self._topics = node, episodes, topics
        self._publisher = node.create_publisher(ros.message("qtx_ros/msg/RecorderStatus"), "~/status", 10)
        self._before: Counter[str] = Counter()
        self._time = time.monotonic()

    def publish(self) -> None:
        msg = ros.message("qtx_ros/msg/RecorderStatus")()
        now = self._node.get_clock().now()
        msg.header.stamp = now.to_msg()
        recording = self._episodes.running
        if self._episodes.directory.exists():
            msg.free_disk = shutil.disk_usage(self._episodes.directory).free
        if recording is not None:
            msg.recording, msg.episode, msg.path = True, recording.name, str(recording.path)
            msg.duration = (now.nanoseconds - self._episodes.started_ns) / 1e9
            msg.messages, msg.bytes = sum(recording.counts.values()), recording.bytes
            msg.lost = sum(recording.lost.values())
        self._per_topic(msg, Counter(recording.counts if recording else {}), recording.lost if recording else Counter())
        self._publisher.publish(msg)

    def _per_topic(self, msg: Any, counts: Counter, lost: Counter) -> None:
        elapsed, self._time = time.monotonic() - self._time, time.monotonic()
        for topic, (type, _) in sorted(self._topics.known().items()):
            rate = max(counts[topic] - self._before[topic], 0) / max(elapsed, 1e-3)
            fields = {"name": topic, "type": type, "messages": counts[topic], "rate": rate, "lost_queue": lost[topic]}
            msg.topics.append(ros.message("qtx_ros/msg/TopicStatus")(**fields))
        self._before = counts
