"""Exploration to collect data: a policy's choice, sometimes replaced. Off unless asked for, and before all safety."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from qtx_ros.deploy.policy import Choice
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import Spec


@dataclass(frozen=True)
class Exploration:
    """How a policy explores; the defaults ask for nothing. Raises QtxError for numbers that make no sense."""

    epsilon: float = 0.0  # probability per decision that a random subset of the dimensions takes random bins
    temperature: float = 0.0  # of bins sampled from softmax(Q / temperature); 0: the best bins
    anneal: int = 0  # decisions over which the temperature falls to 0; 0: it stays
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise QtxError(f"epsilon is {self.epsilon}, expected a probability in [0, 1]")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise QtxError(f"temperature is {self.temperature}, expected a finite number of at least 0")
        if self.anneal < 0 or self.seed < 0:
            raise QtxError(f"anneal is {self.anneal} and the seed {self.seed}, expected at least 0 of each")
        if self.anneal and not self.temperature:
            raise QtxError(f"anneal is {self.anneal} decisions, but there is no temperature to anneal")

    @property
    def off(self) -> bool:
        """Nothing is ever replaced."""
        return not self.epsilon and not self.temperature

    def __str__(self) -> str:
        over = f", falling to 0 over {self.anneal} decisions" if self.anneal else ""
        return f"epsilon {self.epsilon:g}, temperature {self.temperature:g}{over}, seed {self.seed}"


class Explorer:
    """Explores one decision after the other of a robot with the dimensions of `spec`; equal seeds explore alike."""

    def __init__(self, exploration: Exploration, spec: Spec, cells: tuple[int, ...] | None = None) -> None:
        """`cells`: as of `gumbel`."""
        self.exploration, self._spec, self._decisions, self._cells = exploration, spec, 0, cells
        self._counts = np.array([dimension.bins for dimension in spec.dimensions])
        self._random = np.random.default_rng(exploration.seed)

    def __call__(self, choice: Choice) -> Choice:
        """The choice itself, or one with other bins, their values and Q; `q_all` stays the network's."""
        asked, bins = self.exploration, choice.bins
        temperature = annealed(asked.temperature, asked.anneal, self._decisions)
        self._decisions += 1
        if temperature > 0:
            bins = gumbel(choice.q_all, temperature, self._random, self._cells)
        if asked.epsilon > 0:
            bins = random_subset(bins, self._counts, asked.epsilon, self._random)
        if np.array_equal(bins, choice.bins):
            return choice
        q = choice.q_all[np.arange(len(bins)), bins]
        return replace(choice, bins=bins, values=from_bins(self._spec, bins), q=q, explored=True)


def random_subset(bins: np.ndarray, counts: np.ndarray, epsilon: float, random: np.random.Generator) -> np.ndarray:
    """Bins int64 [D] of dimensions with `counts` bins [D], with probability `epsilon` some of them random.

    How many dimensions is uniform from 1 to D, which ones is uniform, and so is the bin of each; it may be the old one.
    """
    if random.random() >= epsilon:
        return bins
    subset = random.permutation(len(bins))[: random.integers(1, len(bins) + 1)]
    changed = np.array(bins)
    changed[subset] = random.integers(0, np.asarray(counts)[subset])
    return changed


def gumbel(
    q_all: np.ndarray, temperature: float, random: np.random.Generator, cells: tuple[int, ...] | None = None
) -> np.ndarray:
    """One bin of each dimension, int64 [D], with the probabilities softmax(Q / temperature) of Q [D, max bins].

    Absent bins (−inf) are never taken. The Q of a dimension are those after the *best* bins of the dimensions before.
    cells [D]: bins of a cell, where the network decides for a cell first: so does the draw, by the cells' best Q.
    """
    if not temperature > 0:
        raise QtxError(f"temperature is {temperature}, expected more than 0")
    q = np.asarray(q_all, np.float64) / temperature
    if cells is not None:
        q = np.array([_one_cell(row, size, random) for row, size in zip(q, cells, strict=True)])
    return (q - q.max(1, keepdims=True) + random.gumbel(size=q.shape)).argmax(1)


def _one_cell(row: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """The row [M], −inf outside one of its cells of `size` bins, which is drawn by softmax of their largest entries."""
    cell = np.arange(len(row)) // size
    best = np.full(cell[-1] + 1, -np.inf)
    np.maximum.at(best, cell, row)
    return np.where(cell == (best + random.gumbel(size=best.shape)).argmax(), row, -np.inf)


def annealed(start: float, over: int, decisions: int) -> float:
    """The temperature after some decisions: from `start` linearly to 0 `over` so many; 0: always `start`."""
    return start * max(0.0, 1 - decisions / over) if over else start
