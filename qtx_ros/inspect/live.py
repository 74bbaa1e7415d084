"""The decisions in a bag, made once more: the same frame, joints and memory must give the same bins.

The bag knows when the recorder received a message, not when the policy did. A decision names its frame by the frame's
stamp; which joint message was the newest one then is found by trying those that may have been: the right one gives the
recorded Q-values.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qtx_ros.bags.marks import Mark
from qtx_ros.bags.reader import Bag
from qtx_ros.data import messages
from qtx_ros.data.stream import Entry, read_frame, read_state
from qtx_ros.deploy.policy import Policy
from qtx_ros.deploy.takeover import HUMAN
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera, EventStream, Spec, StateStream

TYPE, TOPIC = "qtx_ros/msg/Decision", "policy/decision"
WAIT_NS = 1_000_000_000  # a recorder may receive a message this much later than the policy did
KEEP_NS = 3_000_000_000
SLACK_NS = 50_000_000  # clocks of sensors are not exact
SAME_Q = 1e-5  # Q-values of the same inputs differ by less, on any processor
MOST_INPUTS = 256  # combinations of messages that may have been the newest ones at a decision
TRIES = 64  # of them and of those before, to find the ones that give its Q-values
MORE_TRIES = 4096  # for those of an episode that are not found so; another bundle's are never found
Inputs = tuple[dict[str, np.ndarray], np.ndarray]  # frames by camera, uint8 [H, W, 3]; state float64 [S]


@dataclass(frozen=True)
class Decision:
    """What is compared of one qtx_ros/msg/Decision."""

    tick_ns: int
    stamp_ns: int  # of the newest frame; 0: none
    instruction: str
    hold: bool
    reason: str
    bins: tuple[int, ...]  # the network's own; the best ones of `q_all` where exploration took others
    q_all: np.ndarray  # float32, of all bins, dimension after dimension


@dataclass(frozen=True)
class Live:
    """How the decisions of an episode compare with those made once more."""

    choices: int = 0  # decisions that were the network's
    holds: int = 0
    equal: int = 0  # the same bins
    unknown: int = 0  # the bag lacks the frame, or one before it that the policy still remembered
    differing: tuple[tuple[int, str], ...] = ()  # tick [ns], what differs
    held: tuple[tuple[int, int], ...] = ()  # [start, stop) of holds [ns]
    human: tuple[tuple[int, int], ...] = ()  # of holds because a human drove

    @property
    def share(self) -> float:
        """Share of equal ones among those that can be compared; NaN without any."""
        compared = self.choices - self.unknown
        return self.equal / compared if compared else float("nan")


def read_decisions(bag: Bag, spec: Spec, mark: Mark, topic: str = TOPIC) -> list[Decision]:
    """The decisions recorded in an episode, in the order of their ticks; none if the bag has no such topic.

    QtxError if they are another robot's.
    """
    ears = replace(spec, events=EventStream(topic, TYPE))
    found = [msg for name, _, msg in bag.messages(ears, mark) if name == topic]
    names = [d.name for d in spec.dimensions]
    other = next((list(msg.names) for msg in found if list(msg.names) != names), None)
    if other is not None:
        wanted, got = ", ".join(names), ", ".join(other)
        raise QtxError(f"{bag.path}: the decisions on {topic!r} are another robot's: {got}; expected {wanted}")
    return sorted(map(_decision, found), key=lambda decision: decision.tick_ns)


def _decision(msg: Any) -> Decision:
    q_all = np.asarray(msg.q_all, np.float32)
    stamp, tick = (t.sec * 1_000_000_000 + t.nanosec for t in (msg.camera_stamp, msg.header.stamp))
    bins = msg.bins
    if getattr(msg, "explored", False):  # absent from older bags
        bins = [row.argmax() for row in np.split(q_all, np.cumsum(msg.bin_counts)[:-1])]
    return Decision(tick, stamp, msg.instruction, bool(msg.hold), msg.reason, tuple(map(int, bins)), q_all)


class Follower:
    """Makes recorded decisions once more while the messages of their episode pass by."""

    def __init__(self, policy: Policy, decisions: Sequence[Decision]) -> None:
        self._spec, self._memory = policy.spec, Memory(policy)
        self._decisions, self._todo = decisions, deque(decisions)
        # How many choices to come may remember a frame that the bag lacks: at first those from before the episode.
        self._lacking = self._spec.history - 1
        self._counts = {"equal": 0, "unknown": 0}
        self._differing: list[tuple[int, str]] = []
        inputs = (*self._spec.cameras, *self._spec.states)
        self._heard: dict[str, deque[Entry]] = {stream.topic: deque() for stream in inputs}

    def push(self, topic: str, receive_ns: int, msg: Any) -> None:
        """Take the next message of the episode."""
        if topic not in self._heard or not self._decisions:
            return
        entries = self._heard[topic]
        entries.append(Entry(receive_ns, messages.stamp_ns(msg), msg))
        while entries[0].received < receive_ns - KEEP_NS:
            entries.popleft()
        self._follow(receive_ns - WAIT_NS)

    def finish(self) -> Live:
        """The comparison, once all messages have passed."""
        self._follow(None)
        choices = sum(not decision.hold for decision in self._decisions)
        held, human = _spans(self._decisions, False), _spans(self._decisions, True)
        holds = len(self._decisions) - choices
        return Live(choices, holds, **self._counts, differing=tuple(self._differing), held=held, human=human)

    def _follow(self, until_ns: int | None) -> None:
        while self._todo and (until_ns is None or self._todo[0].tick_ns <= until_ns):
            decision = self._todo.popleft()
            if decision.hold:
                self._memory.forget()
                self._lacking = 0
            else:
                self._compare(decision)

    def _compare(self, decision: Decision) -> None:
        inputs = list(itertools.islice(self._inputs(decision), MOST_INPUTS))
        if not inputs:
            self._counts["unknown"] += 1
            self._lacking = self._spec.history - 1
            return
        bins, off = self._memory.recall(decision, inputs)
        lacking, self._lacking = self._lacking, max(self._lacking - 1, 0)
        if bins == decision.bins:
            self._counts["equal"] += 1
        elif lacking:
            self._counts["unknown"] += 1
        else:
            self._differing.append((decision.tick_ns, _difference(self._spec, bins, decision.bins, off)))

    # --- what may have been the inputs -------------------------------------------------------------------------

    def _inputs(self, decision: Decision) -> Iterator[Inputs]:
        """Frames and state that the policy may have had, the likeliest first; none if the bag lacks the frame."""
        cameras, states = self._spec.cameras, self._spec.states
        recent = [self._recent(stream, decision) for stream in (*cameras, *states)]
        if decision.stamp_ns:
            named = [[e for e in entries if e.stamp == decision.stamp_ns] for entries in recent[: len(cameras)]]
            if not any(named):
                return
            recent[: len(cameras)] = [found or entries for found, entries in zip(named, recent, strict=False)]
        frame = functools.cache(lambda place, i: read_frame(cameras[place], recent[place][i], {}))
        for rank in likeliest([len(entries) for entries in recent]):
            chosen = [entries[i] for i, entries in zip(rank, recent, strict=True)]
            frames = {camera.name: frame(place, rank[place]) for place, camera in enumerate(cameras)}
            values = [read_state(s, entry, []) for s, entry in zip(states, chosen[len(cameras) :], strict=True)]
            state = np.concatenate([*values, np.empty(0)])
            if np.isfinite(state).all():  # with any other the policy would have held
                yield frames, state

    def _recent(self, stream: Camera | StateStream, decision: Decision) -> list[Entry]:
        """The messages that may have been a stream's newest at the decision's tick, the likeliest first."""
        oldest = decision.tick_ns - round(stream.max_age * 1e9) - SLACK_NS
        found = []
        for entry in reversed(self._heard[stream.topic]):
            taken = entry.received if entry.stamp is None else entry.stamp
            if oldest <= taken <= decision.tick_ns + SLACK_NS:
                found.append((taken > decision.tick_ns, entry))
        return [entry for _, entry in sorted(found, key=lambda item: item[0])]


class Memory:
    """What a policy remembers while it makes decisions once more: for each frame the inputs it may have come with."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._seen: deque[list[Inputs]] = deque(maxlen=policy.spec.history - 1)
        self._more = MORE_TRIES

    def forget(self) -> None:
        """The policy held: it begins anew."""
        self._seen.clear()

    def recall(self, decision: Decision, inputs: list[Inputs]) -> tuple[tuple[int, ...], float]:
        """Bins of the inputs that come closest to the decision's Q-values, and how far off these are. Remembers them.

        Tried with all that is remembered first, then with less: an episode may begin without a hold. Where no inputs
        give the very Q-values, all of them stay possible: those that come close may have been others.
        """
        self._policy.instruct(decision.instruction)
        best: tuple[float, tuple[int, ...], list[Inputs]] | None = None
        for count, tried in enumerate(self._possible(inputs)):
            if count >= TRIES:
                if self._more == 0:
                    break
                self._more -= 1
            bins, off = self._try(tried, decision)
            if best is None or off < best[0]:
                best = off, bins, tried
            if off < SAME_Q:
                break
        off, bins, tried = best
        if off < SAME_Q:
            self._seen.clear()
            self._seen.extend([one] for one in tried)
        else:
            self._seen.append(inputs)
        return bins, off

    def _possible(self, inputs: list[Inputs]) -> Iterator[list[Inputs]]:
        """What the policy may have seen since it began, up to now; the likeliest first."""
        seen = [*self._seen, inputs]
        for start in range(len(seen)):
            for rank in likeliest([len(options) for options in seen[start:]]):
                yield [options[i] for i, options in zip(rank, seen[start:], strict=True)]

    def _try(self, tried: list[Inputs], decision: Decision) -> tuple[tuple[int, ...], float]:
        self._policy.reset()
        choice = [self._policy.act(*one) for one in tried][-1]
        rows = zip(self._policy.spec.dimensions, choice.q_all, strict=True)
        q_all = np.concatenate([row[: dimension.bins] for dimension, row in rows])
        same = q_all.shape == decision.q_all.shape
        return tuple(choice.bins.tolist()), float(np.abs(q_all - decision.q_all).max()) if same else float("inf")


def likeliest(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Choices of one of `counts[i]` options for each i, each list of options with the likeliest first: those that
    choose early ones first."""
    for total in range(sum(counts) - len(counts) + 1):
        yield from _of_sum(counts, total)


def _of_sum(counts: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    if not counts:
        yield from [()] if total == 0 else []
        return
    for first in range(min(total, counts[0] - 1) + 1):
        yield from ((first, *rest) for rest in _of_sum(counts[1:], total - first))


def _difference(spec: Spec, bins: tuple[int, ...], live: tuple[int, ...], off: float) -> str:
    parts = [
        f"{dimension.name} bin {then}, now {now}"
        for dimension, now, then in zip(spec.dimensions, bins, live, strict=False)
        if now != then
    ]
    return f"{', '.join(parts)}; its Q-values differ by {off:.2g} at least, whichever joint message it had"


def _spans(decisions: Sequence[Decision], human: bool) -> tuple[tuple[int, int], ...]:
    """[start, stop) of runs of holds, because a human drove or for any other reason."""
    spans: list[list[int]] = []
    before = False
    for decision in decisions:
        now = decision.hold and decision.reason.startswith(HUMAN) == human
        if now and not before:
            spans.append([decision.tick_ns, decision.tick_ns + 1])
        elif before:
            spans[-1][1] = decision.tick_ns + (1 if now else 0)
        before = now
    return tuple((start, stop) for start, stop in spans)
