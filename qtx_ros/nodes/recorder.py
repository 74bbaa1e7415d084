"""`qtx record`: one bag per episode, started, stopped and labelled by service or by topic."""

from __future__ import annotations

import argparse
import shutil
import struct
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from qtx_ros import ros
from qtx_ros.data.bag import LABELS, add_label, qos_profile
from qtx_ros.data.recording import Recording
from qtx_ros.errors import QtxError
from qtx_ros.nodes.recorder_topics import Topics
from qtx_ros.spec import Spec

EVENT_TYPE = "qtx_ros/msg/EpisodeEvent"
MIB = 1 << 20
PARAMETERS = {
    "robot": ("sawyer_sim", "robot YAML, or the name of a shipped one"),
    "directory": ("bags", "folder the bags are written to"),
    "extra_topics": (["policy/decision"], "topics to record beside those of the robot"),
    "all_topics": (False, "record every topic there is"),
    "queue_mib": (256, "memory for messages that wait for the disk; what exceeds it is lost [MiB]"),
    "min_free_mib": (500, "refuse to start an episode with less free disk [MiB]"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robot", help=PARAMETERS["robot"][1])
    parser.add_argument("--out", dest="directory", metavar="FOLDER", help=PARAMETERS["directory"][1])
    parser.add_argument("--topics", dest="extra_topics", nargs="+", metavar="TOPIC", help=PARAMETERS["extra_topics"][1])
    parser.add_argument("--all", dest="all_topics", action="store_true", default=None, help=PARAMETERS["all_topics"][1])


def main(args: argparse.Namespace) -> int:
    ros.init(args=args.ros_args)
    try:
        given = {name: getattr(args, name, None) for name in PARAMETERS}
        node = Recorder([ros.Parameter(name, value=value) for name, value in given.items() if value is not None])
        try:
            ros.spin(node)
        except (KeyboardInterrupt, ros.ExternalShutdownException):
            pass
        finally:
            node.close()
            node.destroy_node()
    finally:
        ros.try_shutdown()
    return 0


class Recorder(ros.Node):
    """Subscribes to everything worth recording from the start; writes it while an episode runs."""

    def __init__(self, overrides: list | None = None, **options) -> None:
        super().__init__("recorder", parameter_overrides=overrides or [], **options)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ros.ParameterDescriptor(description=description, read_only=True))
        self.spec = Spec.load(self._value("robot"))
        self.directory = Path(self._value("directory")).expanduser()
        self._recording: Recording | None = None
        self._label, self._comment, self._instruction, self._started = "", "", "", 0
        self._last: Path | None = None  # the bag of the last finished episode
        self._status_counts: Counter[str] = Counter()
        self._status_time = time.monotonic()
        self._latched: dict[str, bytes] = {}
        self._heard = ""  # the last instruction
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._event = self.create_publisher(ros.message(EVENT_TYPE), "episode/event", 10)
        self._status = self.create_publisher(ros.message("qtx_ros/msg/RecorderStatus"), "~/status", 10)
        self._topics = Topics(self, self.spec, self._value("extra_topics"), self._value("all_topics"), self._receive)
        self._offer_control()
        self.create_timer(0.2, self._topics.refresh)
        self.create_timer(1.0, self._publish_status)
        self.get_logger().info(f"records {self.spec.name} into {self.directory.resolve()}")

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _offer_control(self) -> None:
        self.create_service(ros.service("qtx_ros/srv/StartEpisode"), "~/start", self._on_start)
        self.create_service(ros.service("qtx_ros/srv/StopEpisode"), "~/stop", self._on_stop)
        self.create_service(ros.service("qtx_ros/srv/LabelEpisode"), "~/label", self._on_label)
        self.create_subscription(ros.message("qtx_ros/msg/EpisodeCommand"), "episode/command", self._on_command, 10)

    # --- what others may do: each raises QtxError with a sentence ---

    def start(self, instruction: str = "") -> str:
        """Start an episode; an empty instruction means the last one heard. Returns its identifier."""
        if self._recording is not None:
            raise QtxError(f"episode {self._recording.name} is running, stop it first")
        self._check_disk()
        now = self._now()
        if now <= 0:
            raise QtxError("the simulated clock has not started: nothing arrived on /clock yet")
        name = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        recording = Recording(self.directory, name, self._value("queue_mib") * MIB)
        self._label, self._comment, self._instruction = "", "", instruction or self._heard
        self._started, self._status_counts = now, Counter()
        self._declare(recording, self._event_topic(), EVENT_TYPE, (qos_profile(),))
        for topic, (type, profiles) in self._topics.known().items():
            self._declare(recording, topic, type, profiles)
        self._recording = recording
        self._mark("START", now, contract=self.spec.to_json())
        for topic, data in self._latched.items():
            recording.write(topic, now, data)
        self.get_logger().info(f"episode {name} started: {self._instruction!r}")
        return name

    def stop(self, label: str = "", comment: str = "") -> tuple[str, Path | None]:
        """Stop the episode; `discard` deletes it. Returns its identifier and the bag's path."""
        _check_label(label, "")
        recording = self._recording
        if recording is None:
            raise QtxError("no episode is running")
        self._label, self._comment = label or self._label, comment or self._comment
        self._mark("STOP", self._now())
        self._recording = None
        if self._label == "discard":
            recording.abort()
            self.get_logger().info(f"episode {recording.name} discarded")
            return recording.name, None
        self._last = recording.close()
        written, lost = sum(recording.counts.values()), sum(recording.lost.values())
        log = self.get_logger().warning if lost else self.get_logger().info
        log(f"episode {recording.name} stopped: {self._label or 'no label'}, {written} messages, {lost} lost")
        return recording.name, self._last

    def label(self, label: str, comment: str = "", episode: str = "") -> str:
        """Label the running episode, or a finished one in its `labels.json`. Returns the identifier."""
        _check_label(label)
        if self._recording is not None and episode in ("", self._recording.name):
            self._label, self._comment = label, comment
            self._mark("LABEL", self._now())
            return self._recording.name
        bag = self.directory / episode if episode else self._last
        if bag is None or Path(episode).name != episode or not (bag / "metadata.yaml").exists():
            raise QtxError(f"there is no finished episode {episode!r} in {self.directory}")
        add_label(bag, label, comment, self._now())
        self._publish_event("LABEL", self._now(), episode=bag.name, label=label, comment=comment)
        return bag.name

    def close(self) -> None:
        """End the running episode cleanly: the process is about to end."""
        if self._recording is not None:
            try:
                self.stop()
            except QtxError as error:
                self.get_logger().error(str(error))

    def _check_disk(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.directory).free // MIB
        except OSError as error:
            raise QtxError(f"cannot write to {self.directory}: {error.strerror}") from None
        if free < self._value("min_free_mib"):
            raise QtxError(f"{self.directory} has {free} MiB free, min_free_mib asks for {self._value('min_free_mib')}")

    # --- services and the command topic ---

    def _on_start(self, request: Any, response: Any) -> Any:
        return self._answer(response, lambda: {"episode": self.start(request.instruction)})

    def _on_stop(self, request: Any, response: Any) -> Any:
        def work() -> dict:
            episode, path = self.stop(request.label, request.comment)
            return {"episode": episode, "path": str(path.resolve()) if path else ""}

        return self._answer(response, work)

    def _on_label(self, request: Any, response: Any) -> Any:
        def work() -> dict:
            return {"message": f"{self.label(request.label, request.comment, request.episode)}: {request.label}"}

        return self._answer(response, work)

    def _on_command(self, msg: Any) -> None:
        actions = {
            msg.START: lambda: self.start(msg.instruction),
            msg.STOP: lambda: self.stop(msg.label, msg.comment),
            msg.LABEL: lambda: self.label(msg.label, msg.comment, msg.episode),
        }
        try:
            if msg.command not in actions:
                raise QtxError(f"command is {msg.command}, expected one of {', '.join(map(str, actions))}")
            actions[msg.command]()
        except QtxError as error:
            self.get_logger().error(str(error))

    def _answer(self, response: Any, work) -> Any:
        try:
            fields = {"success": True, **work()}
        except QtxError as error:
            self.get_logger().error(str(error))
            fields = {"success": False, "message": str(error)}
        for name, value in fields.items():
            setattr(response, name, value)
        return response

    # --- messages ---

    def _receive(self, topic: str, data: bytes, source_ns: int, latched: bool, stamped: bool) -> None:
        """One serialised message of a subscribed topic."""
        if latched:
            self._latched[topic] = data
        if topic == self.resolve_topic_name(self.spec.instruction.topic):
            self._heard = ros.deserialize(data, self.spec.instruction.type).data
        if self._recording is None:
            return
        now = self._now()
        if self._simulated and stamped:  # /clock may come after what it stamps, never truly
            now = max(now, _stamp(data))
        if not self._recording.write(topic, now, data, source_ns if source_ns > 0 and not self._simulated else None):
            reason = self._recording.error or "the disk is too slow"
            self.get_logger().error(f"messages are being lost: {reason}", throttle_duration_sec=5.0)

    def new_topic(self, topic: str, type: str, profiles: tuple) -> None:
        """A topic that appeared; declared before its first message."""
        if self._recording is not None:
            self._declare(self._recording, topic, type, profiles)

    def _declare(self, recording: Recording, topic: str, type: str, profiles: tuple) -> None:
        recording.add_topic(topic, type, ros.definition(type), ros.type_hash(type), profiles)

    def _mark(self, event: str, now: int, contract: str = "") -> None:
        """Write an event of the running episode into its bag and publish it."""
        recording = self._recording
        fields = {"label": self._label, "comment": self._comment, "contract": contract}
        msg = self._publish_event(event, now, episode=recording.name, instruction=self._instruction, **fields)
        recording.write(self._event_topic(), now, ros.serialize(msg))

    def _publish_event(self, event: str, now: int, **fields: str) -> Any:
        msg = ros.message(EVENT_TYPE)(**fields)
        msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(now, 1_000_000_000)
        msg.event = getattr(msg, event)
        if ros.ok(context=self.context):
            self._event.publish(msg)
        return msg

    def _event_topic(self) -> str:
        return self.resolve_topic_name("episode/event")

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    # --- status ---

    def _publish_status(self) -> None:
        msg = ros.message("qtx_ros/msg/RecorderStatus")()
        msg.header.stamp = self.get_clock().now().to_msg()
        recording = self._recording
        if self.directory.exists():
            msg.free_disk = shutil.disk_usage(self.directory).free
        counts, lost = (recording.counts, recording.lost) if recording else ({}, {})
        elapsed, self._status_time = time.monotonic() - self._status_time, time.monotonic()
        if recording is not None:
            msg.recording, msg.episode, msg.path = True, recording.name, str(recording.path)
            msg.duration = (self._now() - self._started) / 1e9
            msg.messages, msg.bytes, msg.lost = sum(counts.values()), recording.bytes, sum(lost.values())
        msg.topics = sorted(self._topics.known())
        msg.topic_messages = [counts.get(topic, 0) for topic in msg.topics]
        msg.topic_lost = [lost.get(topic, 0) for topic in msg.topics]
        msg.topic_rate = [(counts.get(t, 0) - self._status_counts[t]) / max(elapsed, 1e-3) for t in msg.topics]
        self._status_counts = Counter(counts)
        self._status.publish(msg)


def _check_label(label: str, *others: str) -> None:
    if label not in (*LABELS, *others):
        raise QtxError(f"label is {label!r}, expected one of {', '.join(LABELS)}")


def _stamp(data: bytes) -> int:
    """Header stamp [ns] of a serialised message that begins with a header."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds * 1_000_000_000 + nanoseconds
