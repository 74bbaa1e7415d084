"""Streams → ticks: which message belongs to which moment. The live node and the converter share this one class.

All times are integer nanoseconds. An observation is what had been *received* at the tick; an action is the last command
in (tick, next tick]; so is a reward, by the moment it was earned.
"""

from __future__ import annotations

import itertools
import statistics
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import resize
from qtx_ros.spec import Camera, EventStream, Spec, StateStream

KEEP_FRAMES_NS = 500_000_000  # images older than this are forgotten, or older than two ticks
KEEP_NS = 10_000_000_000  # everything else
KEEP_MESSAGES = 4096  # per topic, whatever their age
OFFSET_SAMPLES = 31  # newest messages whose clock offset counts
OFFSET_NEEDED = 5  # fewer than this say nothing about a clock


@dataclass(frozen=True)
class Observation:
    """What was known at a tick. With `problems` it holds no frames, and NaN for state never heard."""

    tick_ns: int
    frames: dict[str, np.ndarray]  # camera name → uint8 [H, W, 3] RGB
    state: np.ndarray  # float64 [S]
    instruction: str
    ages_ns: dict[str, int]  # topic → header stamp to tick (without a stamp: receive time to tick)
    stamps_ns: dict[str, int]  # topic → header stamp, where there is one
    received_ns: dict[str, int]
    problems: tuple[str, ...]  # sentences; empty: every required input is there and fresh


@dataclass(frozen=True)
class Outcome:
    """What the environment said about the time of one step."""

    reward: float = 0.0
    success: bool = False
    terminal: bool = False
    truncated: bool = False


@dataclass(slots=True)
class _Entry:
    """One received message; `value` holds its array once somebody asked for it."""

    received: int
    stamp: int | None
    msg: Any
    value: np.ndarray | None = None


@dataclass(slots=True)
class _Stream:
    """The newest messages of one topic, oldest first, and how far its clock is from the receiver's."""

    keep_ns: int
    entries: deque[_Entry] = field(default_factory=lambda: deque(maxlen=KEEP_MESSAGES))
    offsets: deque[int] = field(default_factory=lambda: deque(maxlen=OFFSET_SAMPLES))

    def push(self, entry: _Entry) -> None:
        entries = self.entries
        if entries and entry.received < entries[-1].received:  # the clock was set back: the past is void
            entries.clear()
            self.offsets.clear()
        entries.append(entry)
        while len(entries) > 1 and entries[1].received <= entry.received - self.keep_ns:
            entries.popleft()
        if entry.stamp is not None:
            self.offsets.append(entry.received - entry.stamp)

    def last(self, time_ns: int) -> _Entry | None:
        """The last message received at or before a time."""
        return next((entry for entry in reversed(self.entries) if entry.received <= time_ns), None)


class Aligner:
    """Takes messages as they are received and answers for any recent tick. Memory is bounded; safe across threads."""

    def __init__(self, spec: Spec) -> None:
        messages.check(spec)
        self.spec = spec
        self._streams = {c.topic: _Stream(min(2 * spec.period_ns, KEEP_FRAMES_NS)) for c in spec.cameras}
        for stream in (*spec.states, *spec.commands, spec.instruction, spec.events):
            self._streams[stream.topic] = _Stream(max(3 * spec.period_ns, KEEP_NS))
        self._lock = threading.Lock()

    def push(self, topic: str, receive_ns: int, msg: Any) -> None:
        """Take one message of a topic of the spec, received at `receive_ns`."""
        if topic not in self._streams:
            raise QtxError(f"robot {self.spec.name!r} has no topic {topic!r}, it has {', '.join(self._streams)}")
        entry = _Entry(int(receive_ns), messages.stamp_ns(msg), msg)
        with self._lock:
            self._streams[topic].push(entry)

    def observe(self, tick_ns: int) -> Observation:
        """What had been received at `tick_ns`. Images are decoded here, and only if all inputs are there and fresh."""
        required = (*self.spec.cameras, *self.spec.states)
        with self._lock:
            chosen = {stream.topic: self._streams[stream.topic].last(tick_ns) for stream in required}
            instruction = self._streams[self.spec.instruction.topic].last(tick_ns)
            clocks = [clock_problem(self.spec, s, self._streams[s.topic].offsets) for s in required]
        problems = [problem for problem in clocks if problem]
        problems += [p for s in required if (p := _age_problem(s, chosen[s.topic], tick_ns))]
        state = np.concatenate([_state(s, chosen[s.topic], problems) for s in self.spec.states] or [np.empty(0)])
        frames = {} if problems else _frames(self.spec.cameras, chosen, problems)
        heard = {topic: entry for topic, entry in chosen.items() if entry is not None}
        return Observation(
            tick_ns=tick_ns,
            frames={} if problems else frames,
            state=state,
            instruction="" if instruction is None else str(instruction.msg.data),
            ages_ns={topic: _age(entry, tick_ns) for topic, entry in heard.items()},
            stamps_ns={topic: entry.stamp for topic, entry in heard.items() if entry.stamp is not None},
            received_ns={topic: entry.received for topic, entry in heard.items()},
            problems=tuple(problems),
        )

    def _command(self, tick_ns: int, next_ns: int) -> np.ndarray | None:
        """The last absolute command received in (tick, next], float64 [D]; None if a topic was silent or broken."""
        parts = []
        for stream in self.spec.commands:
            with self._lock:
                entry = self._streams[stream.topic].last(next_ns)
            if entry is None or entry.received <= tick_ns:
                return None
            try:
                parts.append(messages.command(stream, entry.msg))
            except QtxError:
                return None
        return np.concatenate(parts)

    def action(self, tick_ns: int, next_ns: int) -> np.ndarray | None:
        """The action of the step at `tick_ns`, float64 [D]: the last command in (tick, next], delta dimensions relative
        to the state measured at the tick; None without such a command or state."""
        command = self._command(tick_ns, next_ns)
        with self._lock:
            entries = [(stream, self._streams[stream.topic].last(tick_ns)) for stream in self.spec.states]
        state = np.concatenate([_state(stream, entry, []) for stream, entry in entries] or [np.empty(0)])
        if command is None:
            return None
        values = messages.action(self.spec, command, state)
        return values if np.isfinite(values).all() else None

    def events(self, tick_ns: int, next_ns: int) -> Outcome:
        """Reward, success and end of the step at `tick_ns`: the events that belong to (tick, next].

        An event belongs to the moment of its header stamp, so ask only once the events up to `next_ns` have arrived.
        """
        with self._lock:
            entries = reversed(self._streams[self.spec.events.topic].entries)
            late = itertools.takewhile(lambda entry: entry.received > tick_ns, entries)
            events = [entry.msg for entry in late if tick_ns < _moment(entry) <= next_ns]
        return Outcome(
            reward=float(sum(event.reward for event in events)),
            success=any(event.success for event in events),
            terminal=any(event.terminal for event in events),
            truncated=any(event.truncated for event in events),
        )


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


class Ticker:
    """When to decide: a fixed grid, or the frames of one camera thinned to the spec's rate.

    Grid: t0 + k·period, t0 the latest first-message time among the required topics. Camera: the receive times of its
    frames, thinned to the rate. A frame ticks when it is due, or up to a quarter of a period early; what is due moves
    on by one period and follows the camera's own pace slowly, so that neither jitter nor a late frame costs the next.
    """

    def __init__(self, spec: Spec) -> None:
        required = {stream.topic for stream in (*spec.cameras, *spec.states)}
        self._camera = next((c for c in spec.cameras if c.name == spec.tick), None)
        self._waiting = {self._camera.topic} if self._camera else required
        self._period = spec.period_ns
        self._last: int | None = None
        self._next: int | None = None
        self._due = 0

    def push(self, topic: str, receive_ns: int) -> bool:
        """Note a message; true if it is the frame that makes a tick, at `receive_ns`."""
        if self._camera:
            return topic == self._camera.topic and self._frame(receive_ns)
        if topic in self._waiting:
            self._waiting.discard(topic)
            if not self._waiting:
                self._next = receive_ns
        return False

    def _frame(self, receive_ns: int) -> bool:
        late = receive_ns - self._due
        if self._last is None or not -2 * self._period < late < self._period:  # the first, a gap, a clock that jumped
            late, self._due = 0, receive_ns
        if late < -self._period // 4:
            return False
        self._due += self._period + late // 8
        self._last = self._next = receive_ns
        return True

    def before(self, time_ns: int) -> list[int]:
        """The ticks before a time that were not given out yet, oldest first."""
        ticks = []
        while self._next is not None and self._next < time_ns:
            ticks.append(self._next)
            self._next = None if self._camera else self._next + self._period
        return ticks

    def missed(self, time_ns: int) -> list[int]:
        """Moments before a time at which the ticking camera owed a frame, a period apart, once its limit is passed.

        An offline reader stores them as invalid steps, so that no window crosses a silent camera.
        """
        if self._camera is None or self._last is None:
            return []
        limit = max(round(self._camera.max_age * 1e9), 3 * self._period // 2)
        ticks = []
        while time_ns - self._last > limit:
            self._last += self._period
            ticks.append(self._last)
        return ticks


# --- one stream at one tick --------------------------------------------------------------------------------------

def _age(entry: _Entry, tick_ns: int) -> int:
    return tick_ns - (entry.received if entry.stamp is None else entry.stamp)


def _moment(entry: _Entry) -> int:
    """When an event happened: its stamp, but never after it was received."""
    return entry.received if entry.stamp is None else min(entry.stamp, entry.received)


def _who(stream: Camera | StateStream | EventStream) -> str:
    kind = "camera" if isinstance(stream, Camera) else "state" if isinstance(stream, StateStream) else "event topic"
    return f"{kind} {getattr(stream, 'name', stream.topic)!r}"


def _age_problem(stream: Camera | StateStream, entry: _Entry | None, tick_ns: int) -> str | None:
    if entry is None:
        return f"{_who(stream)} has sent nothing yet on {stream.topic!r}"
    age, limit = _age(entry, tick_ns), round(stream.max_age * 1e9)
    if age > limit:
        return f"{_who(stream)} is {age / 1e6:.0f} ms old, limit {limit / 1e6:.0f} ms"
    return None


def _state(stream: StateStream, entry: _Entry | None, problems: list[str]) -> np.ndarray:
    """float64 [n] of a state stream, NaN where there is none; adds a sentence for a message that does not fit."""
    if entry is not None and entry.value is None:
        try:
            entry.value = messages.state(stream, entry.msg)
        except QtxError as error:
            problems.append(f"state {error}")
    if entry is None or entry.value is None:
        return np.full(len(stream.names), np.nan)
    if not np.isfinite(entry.value).all():
        problems.append(f"state {stream.topic!r} holds NaN or infinity")
    return entry.value


def _frames(cameras: Sequence[Camera], chosen: dict[str, _Entry], problems: list[str]) -> dict[str, np.ndarray]:
    frames = {}
    for camera in cameras:
        entry = chosen[camera.topic]
        try:
            if entry.value is None:
                entry.value = resize(messages.image(entry.msg, camera.type), camera)
            frames[camera.name] = entry.value
        except QtxError as error:
            text = str(error)
            problems.append(text if text.startswith("camera") else f"camera {camera.name!r}: {text}")
    return frames
