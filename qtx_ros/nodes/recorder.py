"""`qtx record`: one bag per episode, started, stopped and labelled by service or by topic."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.memory import give_back
from qtx_ros.nodes.recorder_clock import RecordingClock
from qtx_ros.nodes.recorder_disk import MIB
from qtx_ros.nodes.recorder_episodes import EVENT_TYPE, Episodes
from qtx_ros.nodes.recorder_parameters import FILE, ParameterDump
from qtx_ros.nodes.recorder_salvage import Salvage
from qtx_ros.nodes.recorder_topics import Heard, Topics
from qtx_ros.nodes.recorder_watch import Watch
from qtx_ros.nodes.run import overrides, run
from qtx_ros.spec import Spec

PARAMETERS = {
    "robot": ("sawyer_sim", "robot YAML, or the name of a shipped one"),
    "directory": ("bags", "folder the bags are written to"),
    "extra_topics": (["policy/decision"], "topics to record beside those of the robot"),
    "all_topics": (False, "record every topic there is"),
    "queue_mib": (256, "memory for messages that wait for the disk; what exceeds it is lost [MiB]"),
    "min_free_mib": (500, "with less free disk no episode starts, and the running one is stopped [MiB]"),
    "split_mib": (0, "begin a new file in the bag after so much; 0: never [MiB]"),
    "split_seconds": (0.0, "begin a new file in the bag after so long; 0: never [s]"),
}
TRIM_SECONDS = 10.0
LOOK_SECONDS = 0.2  # how often to look for topics that appeared and for what went wrong
COUNT_LOST = "QTX_ROS_COUNT_LOST"  # asks the embedded backend to count messages lost on the wire


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `qtx record`; they are the node's parameters, so `--ros-args -p name:=value` says the same."""
    parser.add_argument("--robot", help=PARAMETERS["robot"][1])
    parser.add_argument("--out", dest="directory", metavar="FOLDER", help=PARAMETERS["directory"][1])
    parser.add_argument("--topics", dest="extra_topics", nargs="+", metavar="TOPIC", help=PARAMETERS["extra_topics"][1])
    parser.add_argument("--all", dest="all_topics", action="store_true", default=None, help=PARAMETERS["all_topics"][1])


def main(args: argparse.Namespace) -> int:
    """Run the node until SIGINT or SIGTERM; the running episode is closed cleanly."""
    os.environ.setdefault(COUNT_LOST, "1")
    given = overrides(args, PARAMETERS)
    return run(args.ros_args, lambda context: Recorder(given, context=context), finish=Recorder.finish)


class Recorder(ros.Node):
    """Listens to everything worth recording from the start; writes it while an episode runs."""

    def __init__(self, overrides: list | None = None, **options) -> None:
        super().__init__("recorder", parameter_overrides=overrides or [], **options)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ros.ParameterDescriptor(description=description, read_only=True))
        values = {name: self.get_parameter(name).value for name in PARAMETERS}
        spec = Spec.load(values["robot"])
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._time = RecordingClock(self._node_time, self._is_recording, self._simulated)
        self._events = self.create_publisher(ros.message(EVENT_TYPE), "episode/event", 10)
        sizes = ("queue_mib", "min_free_mib", "split_mib", "split_seconds")
        self._episodes = Episodes(
            Path(values["directory"]).expanduser(), spec, self._time.now, self._events.publish,
            self.resolve_topic_name("episode/event"), *(values[name] for name in sizes),
        )  # fmt: skip
        self._instruction_topic, self._instruction = self.resolve_topic_name(spec.instruction.topic), ""
        self._topics = Topics(self, spec, values["extra_topics"], values["all_topics"], self._hear, self._lose)
        self._topics.on_new = self._episodes.declare
        self._watch = Watch(self, self._episodes, self._topics, self._time)
        self._dump = ParameterDump(self)
        self._offer_control()
        steady = ros.steady_clock()  # also while simulated time stands still
        self.create_timer(LOOK_SECONDS, self._look, clock=steady)
        self.create_timer(1.0, self._watch.publish, clock=steady)
        self.create_timer(TRIM_SECONDS, give_back, clock=steady)
        self.get_logger().info(f"records {spec.name} into {self._episodes.directory.resolve()}")
        self._episodes.disk.watch()
        spare = 2 * values["min_free_mib"] * MIB  # while an episode eats one, the salvage gives up
        Salvage(self._episodes.directory, spare, self._is_recording, self.get_logger()).start()

    def finish(self) -> None:
        """Close the running episode: the process is about to end."""
        if self._episodes.running is not None:
            self._try(self._stop)

    def destroy_node(self) -> None:
        """As every node's."""
        self._episodes.disk.close()
        super().destroy_node()

    def _node_time(self) -> int:
        return self.get_clock().now().nanoseconds

    def _is_recording(self) -> bool:
        return self._episodes.running is not None

    # --- what others may ask for ---

    def _offer_control(self) -> None:
        def service(type: str, name: str, work: Callable[[Any], dict]) -> None:
            self.create_service(ros.service(type), name, lambda asked, answer: self._answer(asked, answer, work))

        service("qtx_ros/srv/StartEpisode", "~/start", lambda r: {"episode": self._start(r.instruction)})
        service("qtx_ros/srv/StopEpisode", "~/stop", lambda r: self._stop(r.label, r.comment))
        service("qtx_ros/srv/LabelEpisode", "~/label", lambda r: self._label(r.label, r.comment, r.episode))
        self.create_subscription(ros.message("qtx_ros/msg/EpisodeCommand"), "episode/command", self._obey, 10)

    def _start(self, instruction: str) -> str:
        instruction = instruction or self._instruction
        name = self._episodes.start(instruction, self._topics.known(), self._topics.latched())
        self._watch.begin()
        self._dump.begin(self._keep_parameters)
        self.get_logger().info(f"episode {name} started: {instruction!r}")
        return name

    def _stop(self, label: str = "", comment: str = "", problem: str = "") -> dict:
        """Stop the episode; `problem`: why it ends though nobody asked for it."""
        problems = [*([problem] if problem else []), *self._watch.verdict()]
        if self._episodes.running is not None:
            self._dump.end()
        try:
            recording, path = self._episodes.stop(label, comment, problems)
        finally:
            if self._episodes.running is None:
                self._watch.begin()
        written, lost = sum(recording.counts.values()), sum(recording.lost.values())
        text = f"episode {recording.name} {'stopped' if path else 'discarded'}: {written} messages, {lost} lost"
        self.get_logger().info(text)
        if problems:
            self.get_logger().warning(f"episode {recording.name} is not accepted: {'; '.join(problems)}")
        return {"episode": recording.name, "path": str(path.resolve()) if path else "", "problems": problems}

    def _keep_parameters(self, text: str, silent: list[str]) -> None:
        if self._episodes.running is not None:
            self._episodes.running.attach(FILE, text)
        if silent:
            self.get_logger().info(f"{FILE} lacks the parameters of {', '.join(silent)}: no answer")

    def _label(self, label: str, comment: str, episode: str) -> dict:
        return {"message": f"{self._episodes.label(label, comment, episode)}: {label}"}

    def _answer(self, request: Any, response: Any, work: Callable[[Any], dict]) -> Any:
        try:
            fields = {"success": True, **work(request)}
        except (QtxError, OSError) as error:
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
        except (QtxError, OSError) as error:
            self.get_logger().error(str(error))

    # --- messages ---

    def _hear(self, heard: Heard) -> None:
        """One serialised message of a subscribed topic."""
        if heard.topic == self._instruction_topic:
            self._instruction = ros.deserialize(heard.data, "std_msgs/msg/String").data
        received, published, stamp = self._time.now(), heard.source_ns or None, heard.stamp_ns()
        if self._simulated:  # a stamp from /clock may overtake /clock itself
            received, published = max(received, stamp), None
        self._watch.hear(heard.topic, received, len(heard.data), stamp)
        if self._episodes.running is not None:
            self._episodes.running.write(heard.topic, received, heard.data, published)

    def _lose(self, topic: str, count: int) -> None:
        self._watch.lose(topic, count)

    def _look(self) -> None:
        """Follow topics that appeared, warn of what went wrong, stop before the disk is full."""
        self._topics.refresh()
        for text in self._watch.look():
            self.get_logger().warning(text)
        if self._episodes.running is not None and (problem := self._watch.disk_problem()):
            self.get_logger().error(f"the episode is stopped: {problem}")
            self._try(lambda: self._stop(comment=f"stopped by the recorder: {problem}", problem=problem))
