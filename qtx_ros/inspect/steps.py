"""A recorded episode, step by step: what a live node would have seen at each tick, and what was done then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qtx_ros.bags.marks import Mark
from qtx_ros.data import messages
from qtx_ros.data.align import Aligner, Observation, Outcome, Ticker
from qtx_ros.data.build import judge
from qtx_ros.spec import Spec

Messages = Iterable[tuple[str, int, Any]]  # topic of the spec, receive time [ns], message


@dataclass
class Step:
    """One tick and the time to the next; `outcome` follows when the events of that time have arrived."""

    tick_ns: int
    next_ns: int
    observation: Observation | None  # None: the ticking camera owed a frame
    action: np.ndarray | None  # float64 [D], of the command that followed
    human: bool  # drove
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why nothing could be chosen from what was known."""
        return ("the ticking camera sent no frame",) if self.observation is None else self.observation.problems


def walk(spec: Spec, recorded: Messages) -> Iterator[Step]:
    """The steps of an episode in order, by the aligner and the ticks of live node and converter.

    A step is given once its outcome is known, that is one step late; its observation holds what had been received at
    its tick.
    """
    aligner, ticker = Aligner(spec), Ticker(spec)
    walking = _Walk(aligner)
    end = 0
    for topic, receive_ns, msg in recorded:
        yield from walking.advance(ticker, receive_ns)
        aligner.push(topic, receive_ns, msg)
        ticker.push(topic, receive_ns, messages.stamp_ns(msg))
        end = receive_ns
    yield from walking.advance(ticker, end + 1)
    yield from walking.finish(spec.period_ns)


class _Walk:
    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner
        self._open: tuple[int, Observation | None] | None = None
        self._waiting: Step | None = None  # for its outcome

    def advance(self, ticker: Ticker, time_ns: int) -> Iterator[Step]:
        """Begin every tick before a time."""
        for tick in ticker.before(time_ns):
            yield from self._begin(tick, self._aligner.observe(tick))
        for tick in ticker.missed(time_ns):
            yield from self._begin(tick, None)

    def finish(self, period_ns: int) -> Iterator[Step]:
        """Close the last step."""
        if self._open is not None:
            yield from self._begin(self._open[0] + period_ns, None)
            yield from self._judged()

    def _begin(self, tick: int, observation: Observation | None) -> Iterator[Step]:
        yield from self._judged()
        if self._open is not None:
            begun, seen = self._open
            action = None if seen is None else self._aligner.action(begun, tick)
            self._waiting = Step(begun, tick, seen, action, self._aligner.intervention(tick))
        self._open = (tick, observation)

    def _judged(self) -> Iterator[Step]:
        if self._waiting is not None:
            step, self._waiting = self._waiting, None
            step.outcome = self._aligner.events(step.tick_ns, step.next_ns)
            yield step


def ending(outcomes: list[Outcome], mark: Mark) -> tuple[str, np.ndarray]:
    """Label of an episode and the reward of each of its steps, float64 [N]; steps after its end are left out."""
    facts = judge(outcomes, mark.label, mark.end)
    rewards = np.array([outcome.reward for outcome in outcomes[: facts["stop"]]])
    if facts["label"] == "failure":
        rewards[:] = 0
    elif facts["label"] == "success":
        rewards[-1:] = 1
    if mark.reward is not None:
        rewards[-1:] = mark.reward
    return facts["label"], rewards


def returns(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """Σ γ^k r from each step to the end, float64 [N]."""
    total, found = 0.0, np.zeros(len(rewards))
    for i in range(len(rewards) - 1, -1, -1):
        total = found[i] = rewards[i] + gamma * total
    return found
