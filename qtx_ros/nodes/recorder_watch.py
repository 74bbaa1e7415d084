"""What the recorder tells while it listens: RecorderStatus, diagnostics, and a warning when something breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtx_ros import ros
from qtx_ros.bags.traffic import TopicTraffic, Traffic, limits, total_lost
from qtx_ros.bags.writer import qos_profile
from qtx_ros.nodes.recorder_clock import RecordingClock
from qtx_ros.nodes.recorder_diagnostics import diagnostics
from qtx_ros.nodes.recorder_episodes import Episodes
from qtx_ros.nodes.recorder_topics import Topics

STATUS_TYPE, DIAGNOSTICS_TYPE = "qtx_ros/msg/RecorderStatus", "diagnostic_msgs/msg/DiagnosticArray"


class Watch:
    """Counts what is heard and lost, and says it once a second (`publish`) and when something breaks (`look`)."""

    def __init__(self, node: Any, episodes: Episodes, topics: Topics, time: RecordingClock) -> None:
        self._node, self._episodes, self._topics, self._time, self._now = node, episodes, topics, time, time.now
        self._limits = {node.resolve_topic_name(name): one for name, one in limits(episodes.spec).items()}
        self._status = node.create_publisher(ros.message(STATUS_TYPE), "~/status", 10)
        self._diagnostics = node.create_publisher(ros.message(DIAGNOSTICS_TYPE), "/diagnostics", 10)
        self._topic = node.resolve_topic_name("~/status")
        self.begin()

    def begin(self) -> None:
        """Count from here on: an episode begins, or has ended. A running one is told about the status topic."""
        self._traffic = Traffic(self._now(), self._limits)
        self._warned: set[tuple] = set()
        self._found: dict[tuple, str] = {}  # what was wrong with time and topics since then
        self._find()
        for name, (type, _) in self._topics.known().items():
            self._traffic.add(name, type, self._traffic.start_ns)
        self._episodes.declare(self._topic, STATUS_TYPE, (qos_profile(),))

    def hear(self, topic: str, receive_ns: int, size: int, stamp_ns: int) -> None:
        """A message came; `stamp_ns`: its header stamp, 0 without one."""
        self._of(topic).heard(receive_ns, size, stamp_ns)

    def lose(self, topic: str, count: int) -> None:
        """Messages did not come."""
        self._of(topic).lost_wire += count

    def look(self) -> list[str]:
        """What went wrong since the last look: one sentence each. They are published at once."""
        self._find()
        found = self._problems()
        new = [text for key, text in found.items() if key not in self._warned]
        self._warned |= found.keys()
        if new:
            self._say(self._now())
        return new

    def verdict(self) -> list[str]:
        """Limits of the robot's file that the running episode broke, and what was wrong with its time and topics."""
        self._count_queue()
        self._find()
        return [*self._traffic.problems(self._now()).values(), *self._found.values()]

    def publish(self) -> None:
        """Measure the rates, and publish status and diagnostics; the status goes into the running bag, too."""
        now = self._now()
        for topic in self._traffic.topics.values():
            topic.tick(now)
        self._say(now)

    def _say(self, now: int) -> None:
        self._count_queue()
        msg = self._message(now)
        data = ros.serialize(msg)
        self._status.publish(data)
        if self._episodes.running is not None:
            self._episodes.running.write(self._topic, now, data)
        topics = self._traffic.topics.values()
        self._diagnostics.publish(diagnostics(self._node.get_name(), msg, topics, now))

    def _of(self, topic: str) -> TopicTraffic:
        if topic not in self._traffic.topics or not self._traffic.topics[topic].type:
            self._traffic.add(topic, self._topics.known()[topic][0], self._now())
        return self._traffic.topics[topic]

    def _count_queue(self) -> None:
        for topic, count in dict(self._episodes.running.lost if self._episodes.running else {}).items():
            if topic in self._traffic.topics:
                self._traffic.topics[topic].lost_queue = count

    def _find(self) -> None:
        """Look at time and topics. An episode keeps what was wrong in it."""
        found: dict[tuple, str] = self._topics.problems()
        if text := self._time.problem():
            found["clock",] = text
        self._found = self._found | found if self._episodes.running is not None else found

    def _problems(self) -> dict[tuple, str]:
        """What is wrong now or was in this episode. Losses come again under another key when they have doubled."""
        disk = {("disk",): self.disk_problem(), ("disk", "silent"): self._episodes.disk.silence()}
        found: dict[tuple, str] = {key: text for key, text in disk.items() if text} | self._found
        if self._episodes.running is None:
            return found
        self._count_queue()
        found |= self._traffic.problems(self._now())
        for topic in self._traffic.topics.values():
            for where, count in (("on the wire", topic.lost_wire), ("before the disk", topic.lost_queue)):
                if count:
                    found[topic.name, where, count.bit_length()] = f"{topic.name} lost {count} messages {where}"
        return found

    def disk_problem(self) -> str:
        """Why nothing (more) can be recorded; empty if it can. Never waits for the disk."""
        running = self._episodes.running
        if running is not None and running.error is not None:
            return str(running.error)
        return self._episodes.disk.problem(running is not None)

    def _message(self, now: int) -> Any:
        msg, running = ros.message(STATUS_TYPE)(), self._episodes.running
        msg.header.stamp = self._node.get_clock().now().to_msg()
        msg.free_disk = self._episodes.disk.free
        if running is not None:
            msg.recording, msg.episode, msg.path = True, running.name, str(running.path)
            msg.duration = (now - self._episodes.started_ns) / 1e9
            msg.messages, msg.bytes, msg.waiting = sum(running.counts.values()), running.bytes, running.waiting
            msg.lost = total_lost(self._traffic.topics.values())
        msg.problems = list(self._problems().values())
        msg.topics = [_topic_status(topic, now) for topic in _named(self._traffic.topics.values())]
        return msg


def _named(topics: Sequence[TopicTraffic]) -> list[TopicTraffic]:
    return sorted(topics, key=lambda topic: topic.name)


def _topic_status(topic: TopicTraffic, now: int) -> Any:
    return ros.message("qtx_ros/msg/TopicStatus")(
        name=topic.name,
        type=topic.type,
        messages=max(topic.messages - topic.lost_queue, 0),
        bytes=topic.bytes,
        rate=topic.rate,
        age=topic.age,
        max_age=topic.max_age,
        silence=topic.silence(now),
        max_gap=topic.max_gap(now),
        gaps=topic.gaps,
        lost_wire=topic.lost_wire,
        lost_queue=topic.lost_queue,
    )
