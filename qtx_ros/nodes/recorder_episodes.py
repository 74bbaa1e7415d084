"""Starting, stopping and labelling episodes: what the recorder's services and its command topic do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from qtx_ros import ros
from qtx_ros.bags.labels import LABELS, Label, add_label
from qtx_ros.bags.recording import Recording
from qtx_ros.bags.writer import qos_profile
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import time_message, time_ns
from qtx_ros.nodes.recorder_disk import MIB, Disk
from qtx_ros.nodes.recorder_topics import Known
from qtx_ros.spec import Spec

EVENT_TYPE = "qtx_ros/msg/EpisodeEvent"


class Episodes:
    """One episode at a time, each a bag in `directory`. Every method that can be refused raises QtxError.

    `now()` is the node's time [ns], `announce(event)` publishes an EpisodeEvent, `event_topic` is its full name.
    """

    def __init__(
        self,
        directory: Path,
        spec: Spec,
        now: Callable[[], int],
        announce: Callable[[Any], None],
        event_topic: str,
        queue_mib: int = 256,
        min_free_mib: int = 500,
        split_mib: int = 0,
        split_seconds: float = 0.0,
    ) -> None:
        self.directory, self.spec = directory, spec
        self.disk = Disk(directory, min_free_mib)
        self.running: Recording | None = None
        self.started_ns = 0
        self._now, self._announce, self._event_topic = now, announce, event_topic
        self._queue_bytes = queue_mib * MIB
        self._split = split_mib * MIB, round(split_seconds * 1e9)
        self._facts = {"instruction": "", "label": "", "comment": ""}  # of the running episode
        self._last: Path | None = None  # the bag of the last episode, if it was kept
        self._gone = "none was recorded yet"  # why there is no such bag

    def start(self, instruction: str, topics: Known, latched: Iterable[tuple[str, bytes]]) -> str:
        """Start an episode with the topics known so far and the latched messages of before; returns its identifier."""
        if self.running is not None:
            raise QtxError(f"episode {self.running.name} is running, stop it first")
        self.disk.prepare()
        now = self._now()
        if now <= 0:
            raise QtxError("the simulated clock has not started: nothing arrived on /clock yet")
        name = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        self.running, self.started_ns = Recording(self.directory, name, self._queue_bytes, *self._split), now
        self._facts = {"instruction": instruction, "label": "", "comment": ""}
        self.declare(self._event_topic, EVENT_TYPE, (qos_profile(),))
        for topic, (type, profiles) in topics.items():
            self.declare(topic, type, profiles)
        said = event("START", now, episode=name, contract=self.spec.to_json(), **self._facts)
        self._keep(said)
        self._announce(said)
        for topic, data in latched:
            self.running.write(topic, now, data)
        return name

    def declare(self, topic: str, type: str, profiles: tuple) -> None:
        """Declare a topic of the running episode, before its first message."""
        if self.running is not None:
            self.running.add_topic(topic, type, ros.definition(type), ros.type_hash(type), profiles)

    def stop(
        self, label: str = "", comment: str = "", problems: Sequence[str] = ()
    ) -> tuple[Recording, Path | None]:
        """Stop the episode; `discard` deletes it. Returns the recording and the bag's path.

        `problems`: limits of the robot's file that the recording broke, kept in its last mark. QtxError if the disk
        refused: the episode has ended all the same.
        """
        _check_label(label, "")
        recording = self.running
        if recording is None:
            raise QtxError("no episode is running")
        facts = self._facts | {key: text for key, text in (("label", label), ("comment", comment)) if text}
        said = event("STOP", self._now(), episode=recording.name, problems=list(problems), **facts)
        with suppress(QtxError):  # of a disk that refused; `close` raises it
            self._keep(said)
        self._announce(said)
        self.running, self._last, self._gone = None, None, f"episode {recording.name} could not be completed"
        if facts["label"] == "discard":
            self._gone = f"episode {recording.name} was discarded"
            recording.abort()
        else:
            self._last = recording.close()
        return recording, self._last

    def label(self, label: str, comment: str = "", episode: str = "") -> str:
        """Label the running episode, or a finished one in its `labels.json`. Returns the identifier.

        Without an identifier: the running one, else the last one; never one before that.
        """
        _check_label(label)
        if self.running is not None and episode in ("", self.running.name):
            facts = self._facts | {"label": label, "comment": comment}
            said = event("LABEL", self._now(), episode=self.running.name, **facts)
            self._keep(said)
            self._announce(said)
            self._facts = facts
            return self.running.name
        bag = self._finished(episode)
        add_label(bag, Label(label=label, comment=comment, time=self._now()))
        self._announce(event("LABEL", self._now(), episode=bag.name, label=label, comment=comment))
        return bag.name

    def _finished(self, episode: str) -> Path:
        """The bag of a finished episode; of the last one without an identifier."""
        if not episode and self._last is None:
            raise QtxError(f"there is no last episode to label, {self._gone}: name the one you mean")
        bag = self.directory / episode if episode else self._last
        if Path(episode).name != episode or not (bag / "metadata.yaml").exists():
            raise QtxError(f"there is no finished episode {episode or bag.name!r} in {self.directory}")
        return bag

    def _keep(self, said: Any) -> None:
        """Write an event of the running episode into its bag; QtxError if the disk refused."""
        self.running.mark(self._event_topic, time_ns(said.header.stamp), ros.serialize(said))


def event(kind: str, now: int, **fields: Any) -> Any:
    """An EpisodeEvent; `kind` is START, STOP or LABEL."""
    msg = ros.message(EVENT_TYPE)(**fields)
    msg.header.stamp = time_message(now)
    msg.event = getattr(msg, kind)
    return msg


def _check_label(label: str, *others: str) -> None:
    if label not in (*LABELS, *others):
        raise QtxError(f"label is {label!r}, expected one of {', '.join(LABELS)}")
