"""Streams → ticks: which message belongs to which moment. The live node and the converter share this one class.

All times are integer nanoseconds. An observation is what had been *received* at the tick; an action is the last command
in (tick, next tick]; so is a reward, by the moment it was earned.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtx_ros.data import messages
from qtx_ros.data.stream import Entry, Stream, age, age_problem, clock_problem, moment, read_frame, read_state, usable
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera, Spec

KEEP_FRAMES_NS = 500_000_000  # images older than this are forgotten, or older than two ticks
KEEP_NS = 10_000_000_000  # everything else
SET_BACK_NS = 500_000_000  # a message received this much before another one: the receiver's clock was set back


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


class Aligner:
    """Takes messages as they are received and answers for any recent tick. Memory is bounded; safe across threads."""

    def __init__(self, spec: Spec) -> None:
        messages.check(spec)
        self.spec = spec
        self._streams = {c.topic: Stream(min(2 * spec.period_ns, KEEP_FRAMES_NS)) for c in spec.cameras}
        for stream in (*spec.states, *spec.commands, spec.instruction, spec.events, spec.intervention):
            self._streams[stream.topic] = Stream(max(3 * spec.period_ns, KEEP_NS))
        self._sizes: dict[str, tuple[int, ...]] = {}  # camera name → size of its first image
        self._newest = 0
        self._lock = threading.Lock()

    def push(self, topic: str, receive_ns: int, msg: Any) -> None:
        """Take one message of a topic of the spec, received at `receive_ns`."""
        if topic not in self._streams:
            raise QtxError(f"robot {self.spec.name!r} has no topic {topic!r}, it has {', '.join(self._streams)}")
        entry = Entry(int(receive_ns), messages.stamp_ns(msg), msg)
        with self._lock:
            if entry.received < self._newest - SET_BACK_NS:
                self._set_back(entry.received)
            self._newest = max(self._newest, entry.received)
            self._streams[topic].push(entry)

    def _set_back(self, now_ns: int) -> None:
        """The clock was set back to `now_ns`: the past is void, except what somebody asked for."""
        asked = self._streams[self.spec.instruction.topic]
        kept = [dataclasses.replace(entry, received=now_ns) for entry in list(asked.entries)[-1:]]
        for stream in self._streams.values():
            stream.clear()
        asked.entries.extend(kept)
        self._newest = now_ns

    def observe(self, tick_ns: int, pictures: bool = True) -> Observation:
        """What had been received at `tick_ns`. Images are decoded here, and only if all inputs are there and fresh,
        or not at all without `pictures`."""
        required = (*self.spec.cameras, *self.spec.states)
        with self._lock:
            chosen = {stream.topic: self._streams[stream.topic].last(tick_ns) for stream in required}
            instruction = self._streams[self.spec.instruction.topic].last(tick_ns)
            clocks = [clock_problem(self.spec, s, self._streams[s.topic].offsets) for s in required]
        problems = [problem for problem in clocks if problem]
        problems += [p for s in required if (p := age_problem(s, chosen[s.topic], tick_ns))]
        state = np.concatenate([read_state(s, chosen[s.topic], problems) for s in self.spec.states] or [np.empty(0)])
        frames = self._frames(chosen, problems) if pictures and not problems else {}
        heard = {topic: entry for topic, entry in chosen.items() if entry is not None}
        return Observation(
            tick_ns=tick_ns,
            frames={} if problems else frames,
            state=state,
            instruction="" if instruction is None else str(instruction.msg.data),
            ages_ns={topic: age(entry, tick_ns) for topic, entry in heard.items()},
            stamps_ns={topic: entry.stamp for topic, entry in heard.items() if entry.stamp is not None},
            received_ns={topic: entry.received for topic, entry in heard.items()},
            problems=tuple(problems),
        )

    def picture(self, camera: Camera) -> np.ndarray | None:
        """The newest frame of a camera, uint8 [H, W, 3], decoded now and not at the tick; the tick's observation holds
        this very array. None where there is none or it does not fit, which the tick will say."""
        with self._lock:
            entry = self._streams[camera.topic].last(self._newest)
        try:
            return None if entry is None else read_frame(camera, entry, self._sizes)
        except QtxError:
            return None

    def _frames(self, chosen: Mapping[str, Entry | None], problems: list[str]) -> dict[str, np.ndarray]:
        """Every camera's frame; adds a sentence for an image that does not fit."""
        frames = {}
        for camera in self.spec.cameras:
            try:
                frames[camera.name] = read_frame(camera, chosen[camera.topic], self._sizes)
            except QtxError as error:
                text = str(error)
                problems.append(text if text.startswith("camera") else f"camera {camera.name!r}: {text}")
        return frames

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
        state = np.concatenate([read_state(stream, entry, []) for stream, entry in entries] or [np.empty(0)])
        if command is None:
            return None
        values = messages.action(self.spec, command, state)
        return values if usable(values) else None

    def intervention(self, next_ns: int) -> bool:
        """Whether a human drives in the step that ends at `next_ns`: the last word on it so far."""
        with self._lock:
            entry = self._streams[self.spec.intervention.topic].last(next_ns)
        return entry is not None and bool(entry.msg.data)

    def events(self, tick_ns: int, next_ns: int) -> Outcome:
        """Reward, success and end of the step at `tick_ns`: the events that belong to (tick, next].

        An event belongs to the moment of its header stamp, so ask only once the events up to `next_ns` have arrived.
        """
        with self._lock:
            entries = reversed(self._streams[self.spec.events.topic].entries)
            late = itertools.takewhile(lambda entry: entry.received > tick_ns, entries)
            events = [entry.msg for entry in late if tick_ns < moment(entry) <= next_ns]
        return Outcome(
            reward=float(sum(event.reward for event in events)),
            success=any(event.success for event in events),
            terminal=any(event.terminal for event in events),
            truncated=any(event.truncated for event in events),
        )


class Ticker:
    """When to decide: a fixed grid, or the frames of one camera thinned to the spec's rate.

    Grid: t0 + k·period, t0 the latest first-message time among the required topics. Camera: the receive times of its
    frames, thinned to the rate by their header stamps, which do not jitter as arrivals do (a stamp of zero: by
    arrival). A frame ticks when it is due, or up to a quarter of a period early; what is due moves on by one period and
    follows the camera's own pace slowly, so that no late frame costs the next.
    """

    def __init__(self, spec: Spec) -> None:
        required = {stream.topic for stream in (*spec.cameras, *spec.states)}
        self._camera = next((c for c in spec.cameras if c.name == spec.tick), None)
        self._waiting = {self._camera.topic} if self._camera else required
        self._period = spec.period_ns
        self._last: int | None = None
        self._next: int | None = None
        self._due = 0

    def push(self, topic: str, receive_ns: int, stamp_ns: int | None = None) -> bool:
        """Note a message and its header stamp; true if it is the frame that makes a tick, at `receive_ns`."""
        if self._camera:
            return topic == self._camera.topic and self._frame(receive_ns, stamp_ns or receive_ns)
        if topic in self._waiting:
            self._waiting.discard(topic)
            if not self._waiting:
                self._next = receive_ns
        return False

    def _frame(self, receive_ns: int, taken_ns: int) -> bool:
        late = taken_ns - self._due
        if self._last is None or not -2 * self._period < late < self._period:  # the first, a gap, a clock that jumped
            late, self._due = 0, taken_ns
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
