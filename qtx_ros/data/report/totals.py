"""What the report says of all steps together: actions over the bins, ages, ranges of the state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from qtx_ros.data.episode import Columns
from qtx_ros.preprocess import bin_edges, to_bins, zero_bin
from qtx_ros.spec import Spec

SAMPLE = 200_000  # steps of which the state's percentiles are taken
AGE_BUCKETS = 150  # per max_age; ages are counted from −1 to 2 times max_age
MOVES = 0.25  # widths of its zero bin that a joint covers within a tick: then it does not stand


@dataclass
class Totals:
    """Counts over all episodes, taken in one after another by `add`. `every` thins the sample of states."""

    spec: Spec
    every: int = 1
    bins: list[np.ndarray] = field(init=False)  # per dimension: valid steps in each bin
    below: np.ndarray = field(init=False)  # int64 [D] actions below the bins
    above: np.ndarray = field(init=False)
    ages: np.ndarray = field(init=False)  # int64 [streams, 3 · AGE_BUCKETS]
    oldest: np.ndarray = field(init=False)  # [streams] s
    valid: int = 0
    creeping: int = 0  # steps in which a joint moves, though all deltas are in their zero bins

    def __post_init__(self) -> None:
        dimensions, streams = self.spec.dimensions, (*self.spec.cameras, *self.spec.states)
        self.bins = [np.zeros(d.bins, np.int64) for d in dimensions]
        self.below, self.above = np.zeros(len(dimensions), np.int64), np.zeros(len(dimensions), np.int64)
        self.ages = np.zeros((len(streams), 3 * AGE_BUCKETS), np.int64)
        self.oldest = np.full(len(streams), np.nan)
        self._limits = np.array([stream.max_age for stream in streams])
        size = len(self.spec.state_names)
        self.low, self.high = np.full(size, np.inf), np.full(size, -np.inf)  # of the state
        self._states: list[np.ndarray] = []
        deltas = [(i, d) for i, d in enumerate(dimensions) if d.mode == "delta" and d.around_zero]
        self._deltas = np.array([i for i, _ in deltas], np.int64)
        self._measured = np.array([self.spec.state_names.index(d.state_name) for _, d in deltas], np.int64)
        self._zeros = np.array([zero_bin(d) for _, d in deltas], np.int64)
        self._reach = MOVES * np.array([np.diff(bin_edges(d))[zero_bin(d)] for _, d in deltas])

    def add(self, columns: Columns) -> None:
        """Take in one episode."""
        usable = columns.valid & np.isfinite(columns.action).all(1)
        self.valid += int(usable.sum())
        actions, states = columns.action[usable].astype(np.float64), columns.state[usable]
        bins = to_bins(self.spec, actions)
        self._add_actions(actions, bins)
        self._add_creeping(bins, states, np.flatnonzero(usable))
        self._add_ages(columns.age)
        if states.size:
            self.low, self.high = np.minimum(self.low, states.min(0)), np.maximum(self.high, states.max(0))
            self._states.append(states[:: self.every])

    def _add_actions(self, actions: np.ndarray, bins: np.ndarray) -> None:
        for i, dimension in enumerate(self.spec.dimensions):
            self.bins[i] += np.bincount(bins[:, i], minlength=dimension.bins)
            slack = 1e-6 * (dimension.high - dimension.low)
            self.below[i] += int((actions[:, i] < dimension.low - slack).sum())
            self.above[i] += int((actions[:, i] > dimension.high + slack).sum())

    def _add_creeping(self, bins: np.ndarray, states: np.ndarray, rows: np.ndarray) -> None:
        """Steps whose actions round to standing still while the state goes on; `rows`: their numbers in the episode."""
        still = (bins[:-1, self._deltas] == self._zeros).all(1)
        moved = (np.abs(np.diff(states[:, self._measured], axis=0)) > self._reach).any(1)
        self.creeping += int((still & moved & (np.diff(rows) == 1)).sum())

    def _add_ages(self, age: np.ndarray) -> None:
        """float [N, streams] s."""
        if age.shape[1:] != self.oldest.shape or not len(age):
            return
        buckets = np.floor((age / self._limits + 1) * AGE_BUCKETS)
        for i, known in enumerate(np.isfinite(age).T):
            if not known.any():
                continue
            inside = np.clip(buckets[known, i], 0, 3 * AGE_BUCKETS - 1).astype(np.int64)
            self.ages[i] += np.bincount(inside, minlength=3 * AGE_BUCKETS)
            self.oldest[i] = np.fmax(self.oldest[i], age[known, i].max())

    def states(self) -> np.ndarray:
        """A sample of the states, float32 [K, S]."""
        return np.concatenate(self._states) if self._states else np.empty((0, len(self.low)), np.float32)

    def age_quantile(self, stream: int, share: float) -> float:
        """Age [s] that a share of the steps stays below, to 1/150 of max_age; NaN if no age is known."""
        counts = self.ages[stream]
        if not counts.sum():
            return math.nan
        bucket = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
        return min(((bucket + 1) / AGE_BUCKETS - 1) * float(self._limits[stream]), float(self.oldest[stream]))

    def actions(self) -> list[ActionFacts]:
        """What is to be said of each action dimension."""
        return [self._action(i) for i in range(len(self.bins))]

    def _action(self, i: int) -> ActionFacts:
        counts, dimension, total = self.bins[i], self.spec.dimensions[i], max(self.valid, 1)
        zero = zero_bin(dimension) if dimension.around_zero else None
        return ActionFacts(
            name=dimension.name,
            counts=counts,
            below=self.below[i] / total,
            above=self.above[i] / total,
            zero=zero,
            idle=None if zero is None else counts[zero] / total,
            used=int((counts > 0).sum()),
            span=_span(counts),
        )


@dataclass(frozen=True)
class ActionFacts:
    """One action dimension over all valid steps; shares in [0, 1]."""

    name: str
    counts: np.ndarray  # int64 [bins]
    below: float  # share of actions below the lowest bin's edge
    above: float
    zero: int | None  # the bin that holds zero, for a range around it
    idle: float | None  # share in the zero bin
    used: int  # bins that hold anything
    span: int  # bins that hold the middle 98 %, from the first to the last of them

    @property
    def outside(self) -> float:
        """Share of actions that are clipped to the outermost bins."""
        return self.below + self.above


def _span(counts: np.ndarray) -> int:
    total = int(counts.sum())
    if not total:
        return 0
    first, last = np.searchsorted(np.cumsum(counts), [0.01 * total, 0.99 * total])
    return int(last - first + 1)
