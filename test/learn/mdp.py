"""Small random MDPs, all that can happen in them as episodes, and their values by dynamic programming."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qtx_ros.data.dataset import Dataset, Windows
from qtx_ros.data.episode import Columns
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import ActionDimension, CommandStream, Spec, StateStream

Step = tuple[int, int, float]  # state, number of the action, reward


@dataclass(frozen=True)
class Mdp:
    """Every action has two equally likely outcomes. With a horizon, its last layer of states always ends."""

    bins: tuple[int, ...]
    rewards: np.ndarray  # [S, A, 2]
    following: np.ndarray  # int [S, A, 2]: the next state
    ends: np.ndarray  # bool [S, A, 2]
    allowed: np.ndarray  # bool [S, A]: actions that the data holds

    @property
    def actions(self) -> np.ndarray:
        """Bins of each action, int [A, D]."""
        return np.array(list(itertools.product(*map(range, self.bins))))


def random_mdp(
    seed: int, bins: tuple[int, ...], states: int = 3, layers: int = 0, ending: float = 0.3, share: float = 1.0
) -> Mdp:
    """`layers` of `states` each, or states without an order; `share` of the actions are in the data."""
    rng = np.random.default_rng(seed)
    count, actions = states * max(layers, 1), int(np.prod(bins))
    shape = (count, actions, 2)
    layer = np.arange(count) // states
    following = rng.integers(0, states, shape) + (states * (layer + 1)[:, None, None] if layers else 0)
    ends = rng.random(shape) < ending
    if layers:
        ends[layer == layers - 1] = True
    allowed = rng.random((count, actions)) < share
    allowed[:, 0] = True
    return Mdp(bins, rng.random(shape) * (rng.random(shape) < 0.5), np.where(ends, 0, following), ends, allowed)


def trails(mdp: Mdp, state: int, steps: int) -> Iterator[tuple[float, list[Step], bool, int]]:
    """All that can happen in `steps` steps from a state: probability, steps, whether it ended, the state after."""
    actions = np.flatnonzero(mdp.allowed[state])
    for action, outcome in itertools.product(actions, (0, 1)):
        step = (state, int(action), float(mdp.rewards[state, action, outcome]))
        chance, after = 0.5 / len(actions), int(mdp.following[state, action, outcome])
        if mdp.ends[state, action, outcome] or steps == 1:
            yield chance, [step], bool(mdp.ends[state, action, outcome]), after
            continue
        for p, later, ended, last in trails(mdp, after, steps - 1):
            yield chance * p, [step, *later], ended, last


def optimal(mdp: Mdp, gamma: float, n_step: int = 1) -> np.ndarray:
    """Q [S, A] of whole actions: n steps of which all but the first are the data's, then the best allowed action."""
    q = np.zeros(mdp.allowed.shape)
    for _ in range(300):
        ahead = np.where(mdp.allowed, q, -np.inf).max(1)
        for _ in range(n_step - 1):
            ahead = np.where(mdp.allowed, _backup(mdp, ahead, gamma), 0).sum(1) / mdp.allowed.sum(1)
        q = _backup(mdp, ahead, gamma)
    return q


def _backup(mdp: Mdp, value: np.ndarray, gamma: float) -> np.ndarray:
    return (mdp.rewards + gamma * ~mdp.ends * value[mdp.following]).mean(-1)


def best_completions(mdp: Mdp, q: np.ndarray, sizes: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Of Q [S, A] of whole actions: for each dimension [S, prefixes, bins], the best that can follow; −inf: nothing."""
    allowed, sizes = np.where(mdp.allowed, q, -np.inf), sizes or mdp.bins
    grids = allowed.reshape(len(q), *sizes)
    whole = [grids.max(tuple(range(i + 2, len(sizes) + 1))) for i in range(len(sizes))]
    return [x.reshape(len(q), -1, n) for x, n in zip(whole, sizes, strict=True)]


def bounded(mdp: Mdp, gamma: float, n_step: int, layers: int) -> dict[tuple, float]:
    """With the Monte-Carlo bound, of an MDP in layers: Q of (state, bins …) up to each dimension, the last layer first.

    A target is max(backup, return-to-go) of one trail, and the maximum of a mean is not the mean of the maximum: so Q
    is a mean over whole trails.
    """
    q: dict[tuple, float] = {}
    count = len(mdp.rewards)
    for state in reversed(range(count)):
        known = []  # probability, bins, target of the last dimension, return-to-go
        for p, steps, _, _ in trails(mdp, state, layers):
            rewards = [gamma**i * r for i, (_, _, r) in enumerate(steps)]
            rest = gamma**n_step * _best(q, (steps[n_step][0],), mdp.bins[0]) if len(steps) > n_step else 0.0
            known.append((p, tuple(mdp.actions[steps[0][1]].tolist()), sum(rewards[:n_step]) + rest, sum(rewards)))
        for i in reversed(range(len(mdp.bins))):
            sums: dict[tuple, list[float]] = {}
            for p, bins, target, returns in known:
                key = (state, *bins[: i + 1])
                y = target if i == len(mdp.bins) - 1 else _best(q, key, mdp.bins[i + 1])
                total = sums.setdefault(key, [0.0, 0.0])
                total[0], total[1] = total[0] + p * max(y, returns), total[1] + p
            q |= {key: total / weight for key, (total, weight) in sums.items()}
    return q


def hoped(mdp: Mdp, gamma: float, n_step: int, tighten: bool = False, completion: bool = False) -> dict[tuple, float]:
    """With the bounds of one step and of the last dimension: Q of (state, bins …) up to each dimension; all allowed.

    As of the Monte-Carlo bound the larger target is taken in each trail, and Q is the mean over trails.
    """
    taken = [tuple(bins) for bins in mdp.actions.tolist()]
    known = [(state, list(trails(mdp, state, n_step))) for state in range(len(mdp.rewards))]
    q = {(s, *bins[: i + 1]): 0.0 for s, _ in known for bins in taken for i in range(len(bins))}
    for _ in range(300):
        sums = dict.fromkeys(q, (0.0, 0.0))
        for state, found in known:
            for p, steps, ended, after in found:
                y = sum(gamma**i * r for i, (_, _, r) in enumerate(steps))
                y += 0.0 if ended else gamma**n_step * _best(q, (after,), mdp.bins[0])
                if tighten and len(steps) > 1:
                    y = max(y, steps[0][2] + gamma * _best(q, (steps[1][0],), mdp.bins[0]))
                bins = taken[steps[0][1]]
                for i in range(len(bins)):
                    key = (state, *bins[: i + 1])
                    target = y if i == len(bins) - 1 else _best(q, key, mdp.bins[i + 1])
                    target = max(target, y) if completion else target
                    total, weight = sums[key]
                    sums[key] = total + p * target, weight + p
        before, q = q, {key: total / weight for key, (total, weight) in sums.items()}
        if max(abs(q[key] - before[key]) for key in q) < 1e-6:
            return q
    raise AssertionError("values still move after 300 rounds")


def _best(q: dict[tuple, float], key: tuple, bins: int) -> float:
    return max(q[(*key, b)] for b in range(bins))


def as_tables(q: dict[tuple, float], states: int, bins: tuple[int, ...]) -> list[np.ndarray]:
    """Q of (state, bins …) as `best_completions` has it: for each dimension [S, prefixes, bins]; −inf where unknown."""
    tables = [np.full((states, math.prod(bins[:i]), n), -np.inf) for i, n in enumerate(bins)]
    for (state, *taken), value in q.items():
        row = 0
        for size, b in zip(bins, taken[:-1], strict=False):
            row = row * size + b
        tables[len(taken) - 1][state, row, taken[-1]] = value
    return tables


# --- as data -----------------------------------------------------------------------------------------------------

def spec_of(bins: tuple[int, ...]) -> Spec:
    """A robot that sees the number of the state."""
    dimensions = tuple(ActionDimension(f"d{i}", 0, 1, n) for i, n in enumerate(bins))
    return Spec("mdp", 10.0, cameras=(), states=(StateStream("state", ("number",)),),
                commands=(CommandStream("command", dimensions),), history=1)  # fmt: skip


class MemoryEpisode:
    """One trail as an episode of a training set that is never written."""

    def __init__(self, spec: Spec, actions: np.ndarray, steps: list[Step], ended: bool, after: int) -> None:
        count = len(steps) + (not ended)
        states, numbers, rewards = zip(*steps, *([] if ended else [(after, 0, 0.0)]), strict=True)
        self.columns = Columns(
            np.array(states, np.float32)[:, None], from_bins(spec, actions[list(numbers)]).astype(np.float32),
            np.array(rewards, np.float32), np.arange(count), np.ones(count, bool), np.zeros((count, 1)),
        )  # fmt: skip
        label = "success" if ended and rewards[-1] > 0.5 else "failure"
        self.manifest = {"instruction": "", "label": label, "terminated": ended, "truncated": not ended, "steps": count}

    def __len__(self) -> int:
        return len(self.columns.tick)


def windows(mdp: Mdp, gamma: float, n_step: int, depth: int, starts: int, near: bool = False) -> Windows:
    """All trails of `depth` steps from the first `starts` states, each as often as its probability asks for."""
    spec, episodes = spec_of(mdp.bins), []
    for state in range(starts):
        found = list(trails(mdp, state, depth))
        rarest = min(p for p, *_ in found)
        for p, *trail in found:
            episodes += [MemoryEpisode(spec, mdp.actions, *trail)] * round(p / rarest)
    return Windows(Dataset(spec, episodes), steps=n_step, discount=gamma, near=near)
