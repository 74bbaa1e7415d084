"""What a policy would have done at each tick of a recorded episode, beside what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from qtx_ros.bags.marks import Mark
from qtx_ros.deploy.confidence import entropies, margins
from qtx_ros.deploy.pilot import Pilot
from qtx_ros.deploy.policy import Choice, Policy
from qtx_ros.inspect.steps import Messages, Step, ending, returns, walk
from qtx_ros.preprocess import to_bins
from qtx_ros.spec import Spec

SIDE = 160  # [px] of the longer side of the pictures that are kept


@dataclass(frozen=True)
class Replay:
    """One episode: N ticks, D dimensions, B bins of the finest dimension. Where the policy would hold, or nobody
    acted, bins are −1 and numbers NaN."""

    spec: Spec
    instruction: str
    label: str
    tick: np.ndarray  # int64 [N] ns
    reasons: tuple[str, ...]  # N: why the policy would hold; empty: it chose
    human: np.ndarray  # bool [N]: a human drove
    bins: np.ndarray  # int64 [N, D] of the policy
    values: np.ndarray  # float64 [N, D]
    taken_bins: np.ndarray  # int64 [N, D] of what was done
    taken: np.ndarray  # float64 [N, D]
    q_all: np.ndarray  # float32 [N, D, B], NaN where there is no such bin
    margin: np.ndarray  # float64 [N, D] best minus second-best Q
    entropy: np.ndarray  # float64 [N, D] share of the largest possible
    returned: np.ndarray  # float64 [N] discounted rewards from here to the end
    pictures: tuple[bytes, ...]  # N: JPEG of all cameras side by side; empty where there was no frame

    @property
    def chosen(self) -> np.ndarray:
        """Ticks at which the policy chose, bool [N]."""
        return self.bins[:, 0] >= 0

    @property
    def both(self) -> np.ndarray:
        """Ticks at which the policy chose and somebody acted, bool [N]."""
        return self.chosen & (self.taken_bins[:, 0] >= 0)

    @property
    def seconds(self) -> np.ndarray:
        """Time of each tick since the first, float64 [N]."""
        return (self.tick - self.tick[:1]) / 1e9

    @property
    def value(self) -> np.ndarray:
        """Largest Q of the first dimension, float64 [N]: what the policy thinks the situation is worth."""
        return top(self.q_all)[:, 0]

    @property
    def q_taken(self) -> np.ndarray:
        """Q of the bin that was taken, float64 [N, D]."""
        found = np.take_along_axis(self.q_all, np.maximum(self.taken_bins, 0)[..., None], -1)[..., 0].astype(np.float64)
        return np.where(self.both[:, None], found, np.nan)


def top(q_all: np.ndarray) -> np.ndarray:
    """Largest Q of each dimension, float64 [N, D], of Q [N, D, B] with NaN for absent bins; NaN where all are."""
    q = np.where(np.isnan(q_all), -np.inf, q_all).max(-1).astype(np.float64)
    return np.where(np.isfinite(q), q, np.nan)


def replay(
    policy: Policy, recorded: Messages, mark: Mark, instruction: str = "", gamma: float = 1.0,
    progress: Callable[[], None] = lambda: None,
) -> Replay:
    """Run a policy over the messages of an episode as its node would have: the same ticks, the same reasons to hold,
    frames forgotten after a hold or a gap. `instruction` counts in place of the topic's; `gamma`: discount of rewards.
    """  # fmt: skip
    pilot, ticks = Pilot(policy), []
    policy.reset()
    for step in walk(policy.spec, recorded):
        ticks.append(_tick(pilot, step, mark, instruction))
        progress()
    label, rewards = ending([tick.outcome for tick, _ in ticks], mark)
    return _columns(policy.spec, ticks[: len(rewards)], label, returns(rewards, gamma), mark)


@dataclass(frozen=True)
class _Answer:
    """What the policy said at one tick."""

    instruction: str = ""
    reason: str = ""
    choice: Choice | None = None
    picture: bytes = b""


def _tick(pilot: Pilot, step: Step, mark: Mark, instruction: str) -> tuple[Step, _Answer]:
    observation = step.observation
    if observation is None:
        pilot.reset()
        return step, _Answer(reason="; ".join(step.problems))
    text = instruction or observation.instruction or mark.instruction
    observation = replace(observation, instruction=text)
    reason = pilot.judge(observation)
    if reason:
        pilot.reset()
    choice = None if reason else pilot.choose(observation)
    small = replace(step, observation=replace(observation, frames={}))
    return small, _Answer(text, reason, choice, _picture(observation.frames))


def _columns(
    spec: Spec, ticks: list[tuple[Step, _Answer]], label: str, returned: np.ndarray, mark: Mark
) -> Replay:  # fmt: skip
    steps, answers = [step for step, _ in ticks], [answer for _, answer in ticks]
    nothing, none = np.full(len(spec.dimensions), np.nan), np.full(len(spec.dimensions), -1)
    q_all = np.full((len(ticks), len(nothing), max(d.bins for d in spec.dimensions)), np.nan, np.float32)
    for row, answer in zip(q_all, answers, strict=True):
        if answer.choice is not None:
            row[:] = np.where(np.isfinite(answer.choice.q_all), answer.choice.q_all, np.nan)
    choices = [answer.choice for answer in answers]
    actions = [step.action for step in steps]
    return Replay(
        spec=spec,
        instruction=next((a.instruction for a in reversed(answers) if a.instruction), ""),
        label=label,
        tick=np.array([step.tick_ns for step in steps], np.int64),
        reasons=tuple(answer.reason for answer in answers),
        human=np.array([step.human or _within(step.tick_ns, mark) for step in steps], bool),
        bins=_rows([none if c is None else c.bins for c in choices], none),
        values=_rows([nothing if c is None else c.values for c in choices], nothing),
        taken_bins=_rows([none if a is None else to_bins(spec, a) for a in actions], none),
        taken=_rows([nothing if a is None else a for a in actions], nothing),
        q_all=q_all,
        margin=_rows([nothing if c is None else margins(c.q_all) for c in choices], nothing),
        entropy=_rows([nothing if c is None else entropies(c.q_all) for c in choices], nothing),
        returned=returned,
        pictures=tuple(answer.picture for answer in answers),
    )


def _rows(rows: list[np.ndarray], like: np.ndarray) -> np.ndarray:
    return np.array(rows, like.dtype).reshape(len(rows), len(like))


def _within(tick: int, mark: Mark) -> bool:
    return any(start <= tick < stop for start, stop in mark.interventions)


def _picture(frames: dict[str, np.ndarray]) -> bytes:
    """All cameras side by side as JPEG; empty without frames."""
    if not frames:
        return b""
    picture = np.concatenate(list(frames.values()), 1)
    scale = SIDE * len(frames) / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
