"""What every storage gives: topics, and parts (a chunk, a table) whose messages come in the order of their receipt."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qtx_ros.errors import QtxError

MOST_NS = (1 << 63) - 1  # the largest time that rosbag2 can mean
OPEN_LIMIT = 1 << 30  # parts that overlap in time are held in memory together, up to this [bytes]


@dataclass(frozen=True)
class Topic:
    """One topic of a file as the file declares it."""

    name: str
    type: str
    format: str  # cdr
    encoding: str = ""  # of the definition: ros2msg, ros2idl; empty: the file has none
    definition: str = ""


class Raw(NamedTuple):
    """One message as it is stored; `where` is its place in its file."""

    receive_ns: int
    topic: Topic
    data: bytes | memoryview
    file: Path
    where: str


@dataclass(frozen=True)
class Part:
    """A piece of a file: messages between two receive times (both included), read in their order when asked for."""

    start_ns: int
    end_ns: int
    size: int  # memory that reading it takes [bytes]
    topics: Collection[str] | None  # that have messages in it; None: not known
    read: Callable[[Collection[str]], Iterator[Raw]]  # of these topics
    where: tuple[Path, str]


@dataclass(frozen=True)
class Contents:
    """A file's topics, its parts and its messages per topic (None: not known without reading all of it)."""

    file: Path
    topics: tuple[Topic, ...]
    parts: tuple[Part, ...]
    counts: dict[str, int]
    distro: str = ""

    @property
    def messages(self) -> int:
        return sum(self.counts.values())


def damaged(file: Path, where: str, reason: str, topic: str = "") -> QtxError:
    """The one sentence about damage: which file, where, on which topic, what, and what can be done."""
    on = f" on topic {topic!r}" if topic else ""
    return QtxError(f"{file} is damaged at {where}{on}: {reason}; qtx recover saves what can be saved")


def cut_off(file: Path, where: str, reason: str) -> QtxError:
    """The sentence about a file that has no end."""
    what = f"{file} goes no further than {where} ({reason})"
    return QtxError(f"the recording was cut off before it was closed: {what}; qtx recover saves what can be saved")


def merge(
    parts: Iterable[Part], topics: Collection[str], start: int | None = None, stop: int | None = None
) -> Iterator[Raw]:
    """The messages of some topics with start <= receive time < stop in the order they were received.

    A part is read when its time has come, so that only parts that overlap are in memory together. Messages of the same
    time come in the order of the parts given.
    """
    waiting = sorted(((p.start_ns, i, p) for i, p in enumerate(parts) if _wanted(p, topics, start, stop)), reverse=True)
    reading: list[tuple[int, int, Raw, Part, Iterator[Raw]]] = []
    held = 0
    while waiting or reading:
        while waiting and (not reading or waiting[-1][0] <= reading[0][0]):
            _, index, part = waiting.pop()
            held += part.size
            if held > OPEN_LIMIT and reading:
                reason = f"{len(reading) + 1} parts of {held} bytes overlap in time, too much to sort"
                raise damaged(*part.where, reason)
            held -= _next(reading, index, part, part.read(topics))
        if reading:
            receive_ns, index, raw, part, rest = heapq.heappop(reading)
            if stop is not None and receive_ns >= stop:
                return
            if start is None or start <= receive_ns:
                yield raw
            held -= _next(reading, index, part, rest)


def _next(reading: list, index: int, part: Part, rest: Iterator[Raw]) -> int:
    """Keep reading a part; returns the bytes it held if it is at its end."""
    raw = next(rest, None)
    if raw is None:
        return part.size
    heapq.heappush(reading, (raw.receive_ns, index, raw, part, rest))
    return 0


def _wanted(part: Part, topics: Collection[str], start: int | None, stop: int | None) -> bool:
    inside = (start is None or part.end_ns >= start) and (stop is None or part.start_ns < stop)
    return inside and (part.topics is None or any(topic in part.topics for topic in topics))
