"""Starting, stopping and labelling episodes: what the recorder's services and its command topic do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from qtx_ros import ros
from qtx_ros.bags.labels import LABELS, Label, add_label
from qtx_ros.bags.recording import Recording
from qtx_ros.bags.writer import qos_profile
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import time_message
from qtx_ros.nodes.recorder_topics import Known
from qtx_ros.spec import Spec

EVENT_TYPE = "qtx_ros/msg/EpisodeEvent"
MIB = 1 << 20


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
        self.running: Recording | None = None
        self.started_ns = 0
        self._now, self._announce, self._event_topic = now, announce, event_topic
        self._queue_bytes, self._min_free_mib = queue_mib * MIB, min_free_mib
        self._split = split_mib * MIB, round(split_seconds * 1e9)
        self._facts = {"instruction": "", "label": "", "comment": ""}  # of the running episode
        self._last: Path | None = None  # the bag of the last finished episode

    def start(self, instruction: str, topics: Known, latched: Iterable[tuple[str, bytes]]) -> str:
        """Start an episode with the topics known so far and the latched messages of before; returns its identifier."""
        if self.running is not None:
            raise QtxError(f"episode {self.running.name} is running, stop it first")
        self._make_directory()
        self.check_disk()
        now = self._now()
        if now <= 0:
            raise QtxError("the simulated clock has not started: nothing arrived on /clock yet")
        name = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        self.running, self.started_ns = Recording(self.directory, name, self._queue_bytes, *self._split), now
        self._facts = {"instruction": instruction, "label": "", "comment": ""}
        self.declare(self._event_topic, EVENT_TYPE, (qos_profile(),))
        for topic, (type, profiles) in topics.items():
            self.declare(topic, type, profiles)
        self._mark("START", now, contract=self.spec.to_json())
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

        `problems`: limits of the robot's file that the recording broke, kept in its last mark.
        """
        _check_label(label, "")
        recording = self.running
        if recording is None:
            raise QtxError("no episode is running")
        self._facts["label"], self._facts["comment"] = label or self._facts["label"], comment or self._facts["comment"]
        self._mark("STOP", self._now(), problems=list(problems))
        self.running = None
        if self._facts["label"] == "discard":
            recording.abort()
            return recording, None
        self._last = recording.close()
        return recording, self._last

    def label(self, label: str, comment: str = "", episode: str = "") -> str:
        """Label the running episode, or a finished one in its `labels.json`. Returns the identifier."""
        _check_label(label)
        if self.running is not None and episode in ("", self.running.name):
            self._facts["label"], self._facts["comment"] = label, comment
            self._mark("LABEL", self._now())
            return self.running.name
        bag = self.directory / episode if episode else self._last
        if bag is None or Path(episode).name != episode or not (bag / "metadata.yaml").exists():
            raise QtxError(f"there is no finished episode {episode!r} in {self.directory}")
        add_label(bag, Label(label=label, comment=comment, time=self._now()))
        self._announce(event("LABEL", self._now(), episode=bag.name, label=label, comment=comment))
        return bag.name

    def _mark(self, kind: str, now: int, **fields: Any) -> None:
        """Write an event of the running episode into its bag, and announce it."""
        msg = event(kind, now, episode=self.running.name, **fields, **self._facts)
        self.running.write(self._event_topic, now, ros.serialize(msg))
        self._announce(msg)

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QtxError(f"cannot write to {self.directory}: {error.strerror}") from None

    def check_disk(self) -> None:
        """QtxError if the folder is not there, or its disk has less free than asked for."""
        try:
            free = shutil.disk_usage(self.directory).free // MIB
        except OSError as error:
            raise QtxError(f"cannot write to {self.directory}: {error.strerror}") from None
        if free < self._min_free_mib:
            raise QtxError(f"{self.directory} has {free} MiB free, min_free_mib asks for {self._min_free_mib}")


def event(kind: str, now: int, **fields: Any) -> Any:
    """An EpisodeEvent; `kind` is START, STOP or LABEL."""
    msg = ros.message(EVENT_TYPE)(**fields)
    msg.header.stamp = time_message(now)
    msg.event = getattr(msg, kind)
    return msg


def _check_label(label: str, *others: str) -> None:
    if label not in (*LABELS, *others):
        raise QtxError(f"label is {label!r}, expected one of {', '.join(LABELS)}")
