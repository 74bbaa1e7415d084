"""Numbers that stand in any table of Student's distribution, and tests small enough to count by hand."""

import math

import numpy as np
import pytest

from qtx_ros.errors import QtxError
from qtx_ros.study.statistics import compare, sign_flip, summarise, t_cdf, t_quantile


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 4, 2.7764), (0.975, 9, 2.2622), (0.995, 5, 4.0321)],
)
def test_quantiles_are_those_of_the_tables(probability, freedom, quantile):
    assert t_quantile(probability, freedom) == pytest.approx(quantile, abs=1e-4)
    assert t_cdf(quantile, freedom) == pytest.approx(probability, abs=1e-5)
    assert t_cdf(-quantile, freedom) == pytest.approx(1 - probability, abs=1e-5)


def test_the_interval_of_five_seeds_by_hand():
    about = summarise([0.8, 0.9, 0.7, 0.85, 0.75])
    half = 2.7764 * math.sqrt(0.025 / 4) / math.sqrt(5)
    assert about.mean == pytest.approx(0.8)
    assert (about.low, about.high) == pytest.approx((0.8 - half, 0.8 + half), abs=1e-5)


def test_one_seed_has_no_interval():
    about = summarise([0.5])
    assert (about.n, about.mean) == (1, 0.5) and math.isnan(about.low)
    assert str(about) == "0.500"


def test_two_seeds_that_agree_are_not_shown_as_certain():
    assert str(summarise([0.895, 0.895])) == "0.895"
    assert str(summarise([21.94, 21.94, 21.94])) == "21.9 [21.9, 21.9]"
    assert math.isnan(compare([0.815, 0.815, 0.815], [0.8, 0.8, 0.8]).t_test)


def test_all_signs_of_few_differences_are_tried():
    assert sign_flip([0.1] * 5) == 2 / 32  # only all + and all − are as far
    assert sign_flip([1, -1]) == 1.0
    assert sign_flip([3, 1, -1]) == 6 / 8  # ±5 twice, ±3 four times, ±1 twice
    assert sign_flip([0.1] * 10) == 2 / 1024


def test_many_differences_are_drawn_alike_each_time():
    rng = np.random.default_rng(0)
    shifted = rng.normal(1.0, 1.0, 30)
    assert sign_flip(shifted) < 0.001 and sign_flip(shifted) == sign_flip(shifted)
    assert sign_flip(rng.normal(0.0, 1.0, 30)) > 0.05


def test_a_paired_comparison_by_hand():
    found = compare([0.9, 0.8, 0.85], [0.7, 0.7, 0.8])  # differences 0.2, 0.1, 0.05
    spread = math.sqrt(((0.2 - 7 / 60) ** 2 + (0.1 - 7 / 60) ** 2 + (0.05 - 7 / 60) ** 2) / 2 / 3)
    t = (7 / 60) / spread
    assert found.difference == pytest.approx(7 / 60)
    assert found.t_test == pytest.approx(1 - t / math.sqrt(2 + t * t))  # closed form of 2 degrees
    assert found.sign_flip == 2 / 8
    assert found.low == pytest.approx(7 / 60 - 4.30265 * spread, abs=1e-4)


def test_equal_results_do_not_differ():
    found = compare([0.5, 0.6], [0.5, 0.6])
    assert (found.difference, found.t_test, found.sign_flip) == (0.0, 1.0, 1.0)


def test_pairs_that_are_none_are_refused():
    with pytest.raises(QtxError, match="got 1 and 2 values"):
        compare([0.1], [0.1, 0.2])
    with pytest.raises(QtxError, match="no values"):
        summarise([])
