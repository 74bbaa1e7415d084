"""One topic's newest messages, and what they say at one tick: their age, what they hold, what is wrong with them."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import resize
from qtx_ros.spec import Camera, EventStream, Spec, StateStream

KEEP_MESSAGES = 4096  # per topic, whatever their age
OFFSET_SAMPLES = 31  # newest messages whose clock offset counts
LARGEST = float(np.finfo(np.float32).max)
OFFSET_NEEDED = 5  # fewer than this say nothing about a clock


@dataclass(slots=True)
class Entry:
    """One received message; `value` holds its array once somebody asked for it."""

    received: int
    stamp: int | None
    msg: Any
    value: np.ndarray | None = None


@dataclass(slots=True)
class Stream:
    """The newest messages of one topic, oldest first, and how far its clock is from the receiver's."""

    keep_ns: int
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=KEEP_MESSAGES))
    offsets: deque[int] = field(default_factory=lambda: deque(maxlen=OFFSET_SAMPLES))

    def push(self, entry: Entry) -> None:
        entries = self.entries
        if entries and entry.received < entries[-1].received:  # the clock was set back: the past is void
            self.clear()
        entries.append(entry)
        while len(entries) > 1 and entries[1].received <= entry.received - self.keep_ns:
            entries.popleft()
        if entry.stamp is not None:
            self.offsets.append(entry.received - entry.stamp)

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.offsets.clear()

    def last(self, time_ns: int) -> Entry | None:
        """The last message received at or before a time."""
        return next((entry for entry in reversed(self.entries) if entry.received <= time_ns), None)


def clock_problem(spec: Spec, stream: Camera | StateStream | EventStream, offsets: Iterable[int]) -> str | None:
    """A sentence if the median of receive time minus header stamp [ns] lies outside the spec's `clock_offset`."""
    offsets = list(offsets)
    if len(offsets) < OFFSET_NEEDED:
        return None
    median = statistics.median_low(offsets) / 1e9
    low, high = spec.clock_offset
    if low <= median <= high:
        return None
    side = "ahead of" if median < low else "behind"
    return (
        f"{_who(stream)} has a clock {side} the receiver's: receive time minus header stamp is {median * 1e3:.0f} ms, "
        f"allowed {low * 1e3:.0f} to {high * 1e3:.0f} ms (clock_offset)"
    )


def age(entry: Entry, tick_ns: int) -> int:
    """Header stamp to tick [ns]; without a stamp receive time to tick."""
    return tick_ns - (entry.received if entry.stamp is None else entry.stamp)


def moment(entry: Entry) -> int:
    """When an event happened: its stamp, but never after it was received."""
    return entry.received if entry.stamp is None else min(entry.stamp, entry.received)


def _who(stream: Camera | StateStream | EventStream) -> str:
    kind = "camera" if isinstance(stream, Camera) else "state" if isinstance(stream, StateStream) else "event topic"
    return f"{kind} {getattr(stream, 'name', stream.topic)!r}"


def age_problem(stream: Camera | StateStream, entry: Entry | None, tick_ns: int) -> str | None:
    """A sentence if the entry is missing, too old, or stamped later than its limit allows it to be old."""
    if entry is None:
        return f"{_who(stream)} has sent nothing yet on {stream.topic!r}"
    old, limit = age(entry, tick_ns), round(stream.max_age * 1e9)
    if old > limit:
        return f"{_who(stream)} is {old / 1e6:.0f} ms old, limit {limit / 1e6:.0f} ms"
    if old < -limit:
        return f"{_who(stream)} has a clock ahead of the receiver's: its stamp lies {-old / 1e6:.0f} ms in the future"
    return None


def read_state(stream: StateStream, entry: Entry | None, problems: list[str]) -> np.ndarray:
    """float64 [n] of a state stream, NaN where there is none; adds a sentence for a message that does not fit."""
    if entry is not None and entry.value is None:
        try:
            entry.value = messages.state(stream, entry.msg)
        except QtxError as error:
            problems.append(f"state {error}")
    if entry is None or entry.value is None:
        return np.full(len(stream.names), np.nan)
    if not usable(entry.value):
        problems.append(f"state {stream.topic!r} holds NaN or infinity")
    return entry.value


def usable(values: np.ndarray) -> bool:
    """Whether every number is finite, also as float32, which networks and training sets hold."""
    return bool((np.abs(values) <= LARGEST).all())


def read_frame(camera: Camera, entry: Entry, sizes: dict[str, tuple[int, ...]]) -> np.ndarray:
    """uint8 [H, W, 3] of an image as the network sees it. `sizes` remembers the size of each camera's first image.

    Raises QtxError for an image that does not decode, does not fit, or is not as large as the first one was.
    """
    if entry.value is None:
        image = messages.image(entry.msg, camera.type, camera)
        frame, size = resize(image, camera), messages.image_size(entry.msg, camera.type, image)
        first = sizes.setdefault(camera.name, size)
        if size != first:
            raise QtxError(
                f"camera {camera.name!r} sends images of {size[1]}x{size[0]}, it began with {first[1]}x{first[0]}"
            )
        entry.value = frame
    return entry.value
