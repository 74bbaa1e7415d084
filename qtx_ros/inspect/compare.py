"""Numbers of a comparison: how often policy and recording agree, where they differ most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qtx_ros.inspect.live import Live
from qtx_ros.inspect.replay import Replay, top

APART = 0.4  # [s] between two of the worst ticks: their neighbours show the same


@dataclass(frozen=True)
class Inspected:
    """One episode of a bag, replayed."""

    name: str
    bag: str
    replay: Replay
    live: Live


@dataclass(frozen=True)
class Agreement:
    """Policy against recording over one episode. NaN where nothing can be compared."""

    ticks: int
    compared: int  # ticks at which the policy chose and somebody acted
    exact: np.ndarray  # float64 [D] share of ticks with the same bin
    near: np.ndarray  # float64 [D] share with a bin at most one away
    off: np.ndarray  # float64 [D] mean distance in the dimension's unit
    q_taken: float  # mean Q of what was done, over ticks and dimensions
    q_best: float  # mean Q of the policy's choice
    first: float  # value of the first situation
    last: float  # of the last


def agreement(replay: Replay) -> Agreement:
    """Compare an episode."""
    both = replay.both
    steps = np.abs(replay.bins - replay.taken_bins)[both]
    off = np.abs(replay.values - replay.taken)[both]
    values = replay.value[replay.chosen]
    return Agreement(
        ticks=len(replay.tick),
        compared=int(both.sum()),
        exact=_mean(steps == 0),
        near=_mean(steps <= 1),
        off=_mean(off),
        q_taken=float(_mean(replay.q_taken[both].ravel())),
        q_best=float(_mean(top(replay.q_all)[both].ravel())),
        first=float(values[0]) if len(values) else float("nan"),
        last=float(values[-1]) if len(values) else float("nan"),
    )


def least(episodes: Sequence[Inspected], count: int) -> list[int]:
    """Which episodes agree least, at most `count` of them, in their order; those that cannot be compared come last."""
    near = np.nan_to_num([float(np.mean(agreement(e.replay).near)) for e in episodes], nan=2.0)
    return sorted(np.argsort(near, kind="stable")[:count].tolist())


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN of nothing."""
    return values.mean(0) if len(values) else np.full(values.shape[1:], np.nan)


def distances(replay: Replay) -> np.ndarray:
    """How far policy and recording are apart, as a share of each dimension's range, float64 [N, D]; NaN: unknown."""
    ranges = np.array([d.high - d.low for d in replay.spec.dimensions])
    return np.abs(replay.values - replay.taken) / ranges


def worst(replay: Replay, count: int) -> list[int]:
    """The ticks at which policy and recording differ most, worst first, none close to another; equal ones never."""
    apart = np.nan_to_num(distances(replay)).max(1, initial=0)
    apart[(replay.bins == replay.taken_bins).all(1)] = 0
    found: list[int] = []
    for i in np.argsort(-apart, kind="stable"):
        if len(found) == count or not apart[i]:
            break
        if all(abs(replay.tick[i] - replay.tick[k]) >= APART * 1e9 for k in found):
            found.append(int(i))
    return found


def sentence(replay: Replay, tick: int) -> str:
    """What the policy would have done at a tick, and what was done, in the dimension that differs most."""
    k = int(np.argmax(np.nan_to_num(distances(replay)[tick])))
    name = replay.spec.dimensions[k].name
    best, was = (round(float(q[tick, k]), 2) + 0.0 for q in (top(replay.q_all), replay.q_taken))
    by = "to" if replay.spec.dimensions[k].mode == "absolute" else "by"
    return (
        f"t = {replay.seconds[tick]:.2f} s: policy would move {name} {by} {replay.values[tick, k]:+.3g}, recorded "
        f"{replay.taken[tick, k]:+.3g}, margin {replay.margin[tick, k]:.2g}, Q {best:.2f} against {was:.2f}"
    )


def reasons(replay: Replay) -> list[tuple[str, int]]:
    """Why the policy would have held, the most frequent first; numbers in ms do not tell reasons apart."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for reason in filter(None, replay.reasons):
        kind = " ".join(word for word in reason.split() if not word.lstrip("-").isdigit())
        counts[kind] += 1
        first.setdefault(kind, reason)
    return [(first[kind], count) for kind, count in counts.most_common()]
