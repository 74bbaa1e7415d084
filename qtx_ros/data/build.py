"""One episode: messages in the order they were received → steps on disk."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtx_ros.bags.marks import Mark
from qtx_ros.data import messages
from qtx_ros.data.align import Aligner, Observation, Outcome, Ticker, clock_problem
from qtx_ros.data.episode import Columns, EpisodeWriter
from qtx_ros.data.timing import timing
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec


@dataclass
class _Step:
    """A step as it is stored; the outcome follows when the events of its time have arrived."""

    tick: int
    next: int
    state: np.ndarray
    ages: list[float]
    action: np.ndarray | None
    problems: tuple[str, ...]  # why it is invalid
    intervention: bool  # a human drove
    outcome: Outcome | None = None

    @property
    def valid(self) -> bool:
        return self.action is not None


class EpisodeBuilder:
    """Takes the messages of one episode, `finish`es it into columns and what the episode says about itself.

    Steps before the first valid one are left out. Frames go to the writer as they come, so memory stays small.
    """

    def __init__(self, spec: Spec, writer: EpisodeWriter) -> None:
        self.spec, self._writer = spec, writer
        self._aligner, self._ticker = Aligner(spec), Ticker(spec)
        self._open: tuple[int, Observation | None] | None = None
        self._steps: list[_Step] = []
        self._skipped: tuple[str, ...] = ()  # problems of the newest step before the first valid one
        self._offsets: dict[str, list[int]] = defaultdict(list)
        self._received: dict[str, list[int]] = defaultdict(list)
        self._end = 0
        self.instruction = ""  # the last one heard

    def push(self, topic: str, receive_ns: int, msg: Any) -> None:
        """Take the next message of a topic of the spec."""
        self._advance(receive_ns)
        self._aligner.push(topic, receive_ns, msg)
        stamp = messages.stamp_ns(msg)
        self._ticker.push(topic, receive_ns, stamp)
        self._end = receive_ns
        self._received[topic].append(receive_ns)
        if topic == self.spec.instruction.topic:
            self.instruction = str(msg.data)
        elif stamp is not None:
            self._offsets[topic].append(receive_ns - stamp)

    def _advance(self, time_ns: int) -> None:
        """Take all steps that begin before a time."""
        for tick in self._ticker.before(time_ns):
            self._begin(tick, self._aligner.observe(tick))
        for tick in self._ticker.missed(time_ns):
            self._begin(tick, None)

    def _begin(self, tick: int, observation: Observation | None) -> None:
        self._complete(tick)
        self._open = (tick, observation)

    def _complete(self, next_ns: int) -> None:
        """The step in progress ends at `next_ns`: its action is known now, and the outcome of the step before it."""
        if self._steps and self._steps[-1].outcome is None:
            last = self._steps[-1]
            last.outcome = self._aligner.events(last.tick, last.next)
        if self._open is None:
            return
        tick, observation = self._open
        problems = self._silent() if observation is None else observation.problems
        action = None if problems else self._aligner.action(tick, next_ns)
        if action is None and not problems:
            problems = ("no command followed the observation within the step",)
        if not self._steps and action is None:
            self._skipped = problems
            return
        state = np.full(len(self.spec.state_names), np.nan) if action is None else observation.state
        human = self._aligner.intervention(next_ns)
        self._steps.append(_Step(tick, next_ns, state, _ages(self.spec, observation), action, problems, human))
        self._writer.add(observation.frames if action is not None else None)

    def _silent(self) -> tuple[str, ...]:
        return (f"camera {self.spec.tick!r} sent no frame for longer than its max_age",)

    def finish(self, mark: Mark) -> tuple[Columns, dict]:
        """The columns of the episode and its facts: label, terminated, truncated, and why steps are invalid.

        Of the mark count the label (success, failure or empty: the events decide), the reward, the end and the
        interventions. QtxError if no step is valid or a clock is off.
        """
        self._check_clocks()
        self._advance(self._end + 1)
        for _ in range(2):  # close the last step, then fetch its outcome
            self._complete(self._open[0] + self.spec.period_ns if self._open else 0)
            self._open = None
        facts = judge([step.outcome for step in self._steps], mark.label, mark.end)
        steps = self._steps[: facts.pop("stop")]
        while steps and not steps[-1].valid:
            steps.pop()
        if not steps:
            raise QtxError(f"no valid step: {'; '.join(self._skipped) or 'the required topics never came together'}")
        facts |= {"invalid": count_alike(s.problems for s in steps), **timing(self._received, self._offsets)}
        return self._columns(steps, facts["label"], mark), facts

    def _check_clocks(self) -> None:
        for stream in (*self.spec.cameras, *self.spec.states, self.spec.events):
            if problem := clock_problem(self.spec, stream, self._offsets[stream.topic]):
                raise QtxError(problem)

    def _columns(self, steps: list[_Step], label: str, mark: Mark) -> Columns:
        nothing = np.full(len(self.spec.dimensions), np.nan)
        reward = np.array([step.outcome.reward for step in steps])
        if label == "failure":
            reward[:] = 0
        elif label == "success":
            reward[-1] = 1
        if mark.reward is not None:
            reward[-1] = mark.reward
        return Columns(
            state=np.array([step.state for step in steps]),
            action=np.array([step.action if step.valid else nothing for step in steps]),
            reward=reward,
            tick=np.array([step.tick for step in steps]),
            valid=np.array([step.valid for step in steps]),
            age=np.array([step.ages for step in steps]),
            intervention=np.array([step.intervention or _within(step.tick, mark.interventions) for step in steps]),
        )


def _within(tick: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= tick < stop for start, stop in spans)


def judge(outcomes: list[Outcome], label: str, said: str = "") -> dict:
    """Label, ends and length of an episode from its label (may be empty) and the outcome of each step.

    A success ends at its first success event, any other episode at its first terminal or truncated event. Success and
    failure terminate; an episode that nobody judged and that did not end by itself is truncated. Where somebody said
    how it ended (terminated or truncated), that counts.
    """
    success = next((i for i, o in enumerate(outcomes) if o.success), None)
    end = next((i for i, o in enumerate(outcomes) if o.terminal or o.truncated), None)
    if not label:
        failed = end is not None and outcomes[end].terminal
        label = "success" if success is not None else "failure" if failed else ""
    last = success if label == "success" and success is not None else end
    cut = last is not None and outcomes[last].truncated and label != "success"
    stop = len(outcomes) if last is None else last + 1
    terminated, truncated = bool(label), bool(not label or cut)
    if said:
        terminated, truncated = said == "terminated", said == "truncated"
    return {"label": label, "stop": stop, "terminated": terminated, "truncated": truncated}


def count_alike(problems: Iterable[Iterable[str]]) -> dict[str, int]:
    """How often each sentence stands there; sentences that differ in milliseconds only count as the first of them."""
    counts: dict[str, list] = {}
    for sentence in itertools.chain.from_iterable(problems):
        counts.setdefault(re.sub(r"-?\d+ ms", "", sentence), [sentence, 0])[1] += 1
    return {sentence: count for sentence, count in counts.values()}


def _ages(spec: Spec, observation: Observation | None) -> list[float]:
    """Age of each camera and state stream [s]; NaN if unknown."""
    topics = [stream.topic for stream in (*spec.cameras, *spec.states)]
    ages = {} if observation is None else observation.ages_ns
    return [ages[topic] / 1e9 if topic in ages else np.nan for topic in topics]


def clipped(spec: Spec, columns: Columns) -> float:
    """Share of valid steps with an action outside the bins' range in some dimension."""
    action = columns.action[columns.valid]
    low, high = (np.array([getattr(d, end) for d in spec.dimensions]) for end in ("low", "high"))
    slack = 1e-6 * (high - low)
    return float(((action < low - slack) | (action > high + slack)).any(1).mean()) if len(action) else 0.0
