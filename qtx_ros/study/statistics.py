"""Comparing by training seed: Student's interval, paired t-test, exact sign-flip test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qtx_ros.errors import QtxError

EXACT = 10  # pairs up to which every sign pattern is tried
DRAWN = 20_000  # sign patterns drawn beyond that
FEWEST = 3  # seeds of which an interval or a test is shown: two can agree by chance
ALMOST = 1e-12  # sums that differ by less are equal: floats are added in another order


@dataclass(frozen=True)
class Summary:
    """Mean over n seeds and its 95 % interval; NaN bounds for a single seed."""

    n: int
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.n < FEWEST:
            return number(self.mean)
        return f"{number(self.mean)} [{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True)
class Paired:
    """One method minus another on the same n seeds."""

    n: int
    difference: float  # mean
    low: float  # 95 % interval of it
    high: float
    t_test: float  # two-sided p; NaN if all differences are the same and not 0
    sign_flip: float  # two-sided p; with n seeds never below 2 / 2^n


def number(value: float, sign: str = "") -> str:
    """Three decimals for a rate, one for a score above 10."""
    return f"{value:{sign}.3f}" if abs(value) < 10 else f"{value:{sign}.1f}"


def summarise(values: Sequence[float]) -> Summary:
    """Mean and 95 % t-interval; QtxError without values."""
    if not len(values):
        raise QtxError("no values to summarise, expected at least one")
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Summary(n, mean, math.nan, math.nan)
    half = t_quantile(0.975, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Summary(n, mean, mean - half, mean + half)


def compare(first: Sequence[float], second: Sequence[float]) -> Paired:
    """First minus second, seed by seed; QtxError unless both have as many values, at least two."""
    if len(first) != len(second) or len(first) < 2:
        raise QtxError(f"got {len(first)} and {len(second)} values, a paired test needs as many of both, at least 2")
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    about = summarise(differences)
    spread = float(np.std(differences, ddof=1)) / math.sqrt(about.n)
    if about.mean == 0:
        p = 1.0
    else:
        p = math.nan if spread < ALMOST else 2 * (1 - t_cdf(abs(about.mean) / spread, about.n - 1))
    return Paired(about.n, about.mean, about.low, about.high, p, sign_flip(differences))


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p: how often the sum is as far from zero if each difference had either sign; exact up to 10 of them."""
    values = np.asarray(differences, np.float64)
    if len(values) <= EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
        return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - ALMOST))
    signs = np.random.default_rng(0).choice((1, -1), (DRAWN, len(values)))
    as_far = np.sum(np.abs(signs @ values) >= abs(values.sum()) - ALMOST)
    return float((as_far + 1) / (DRAWN + 1))


def t_cdf(t: float, freedom: int) -> float:
    """P(T ≤ t) of Student's t with `freedom` degrees of freedom."""
    from scipy import stats

    return float(stats.t.cdf(t, freedom))


def t_quantile(probability: float, freedom: int) -> float:
    """The t below which a share of `probability` lies."""
    from scipy import stats

    return float(stats.t.ppf(probability, freedom))
