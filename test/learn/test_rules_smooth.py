"""Ordinal smoothing by hand: who shares the target, who is exempt, and that no smoothing is the plain rule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from qtx_ros.learn import losses, rules
from qtx_ros.learn import rules_smooth as smooth
from qtx_ros.learn.settings import TrainConfig

Q = tensor([[[0.1, 0.2, 0.4], [0.6, 0.3, float("-inf")]]])
BINS = tensor([[1, 0]])
NEAR, FAR = math.exp(-0.5), math.exp(-0.5 * 1.5**2)  # weight of a neighbour, one bin of three and of two away at ⅓


def weights(value: float = 1 / 3) -> torch.Tensor:
    return smooth.ordinal_weights(BINS, torch.isfinite(Q), value)


def test_weights_by_hand():
    assert weights()[0].tolist() == [pytest.approx([NEAR, 1, NEAR]), pytest.approx([1, FAR, 0])]
    assert weights(0.0)[0].tolist() == [[0, 1, 0], [1, 0, 0]]


def test_neighbours_share_the_target():
    errors = smooth.squared_errors(Q, tensor([[1.0, 0.5]]))
    first = (NEAR * 0.81 + 0.64 + NEAR * 0.36) / (1 + 2 * NEAR)
    second = (0.01 + FAR * 0.04) / (1 + FAR)
    assert smooth.weighted_loss(errors, weights()).item() == pytest.approx(0.5 * (first + second) / 2)


def test_neighbours_are_exempt_from_conservatism_by_the_same_weight():
    errors = smooth.squared_errors(Q, torch.zeros(1, 2))
    left = smooth.untaken(weights(), torch.isfinite(Q))
    assert left[0].tolist() == [pytest.approx([1 - NEAR, 0, 1 - NEAR]), pytest.approx([0, 1 - FAR, 0])]
    assert smooth.weighted_loss(errors, left).item() == pytest.approx(0.5 * ((0.01 + 0.16) / 2 + 0.09) / 2)


def test_without_smoothing_it_is_the_plain_rule():
    q = torch.randn(6, 3, 5).masked_fill(torch.arange(5) > tensor([4, 2, 3])[:, None], float("-inf"))
    bins, targets = torch.randint(0, 3, (6, 3)), torch.rand(6, 3)
    w = smooth.ordinal_weights(bins, torch.isfinite(q), 0.0)
    plain = smooth.weighted_loss(smooth.squared_errors(q, targets), w)
    assert plain.item() == pytest.approx(rules.temporal_difference_loss(q, bins, targets).item(), rel=1e-5)
    low, left = torch.full_like(targets, -0.5), smooth.untaken(w, torch.isfinite(q))
    rest = smooth.weighted_loss(smooth.squared_errors(q, low), left)
    assert rest.item() == pytest.approx(rules.conservative_loss(q, bins, -0.5).item(), rel=1e-5)
    assert smooth.soft_label_loss(q, w).item() == pytest.approx(rules.behaviour_cloning_loss(q, bins).item(), rel=1e-5)


def test_a_dimension_of_one_bin_has_nothing_untaken():
    w = smooth.ordinal_weights(tensor([[0]]), tensor([[True]]), 0.5)
    assert smooth.weighted_loss(torch.ones(1, 1, 1), smooth.untaken(w, tensor([[True]]))) == 0


def test_softmax_conservatism_by_hand():
    q = tensor([[[0.0, math.log(3), float("-inf")]]])
    found = smooth.soft_label_loss(q, smooth.ordinal_weights(tensor([[1]]), torch.isfinite(q), 0))
    assert found.item() == pytest.approx(
        math.log(4) - math.log(3)
    )


def test_unseen_bins_are_pushed_no_further_than_the_gap_below_the_target():
    q = torch.tensor([[[0.9, 0.5, 0.3, float("-inf")]]])
    errors = smooth.excess_errors(q, torch.tensor([[0.7]]) - 0.2)
    assert errors.flatten().tolist() == pytest.approx([0.5 * 0.4**2, 0.0, 0.0, 0.0])


def test_a_bin_that_is_seen_now_and_then_keeps_its_value_but_for_a_part_of_the_gap():
    """One sample in five took bin 0, the target is 0.8; three bins, weight 1. The minimum of the loss, by hand:
    1/5 (q − 0.8) + 4/5 · 1/2 · (q − 0.6) = 0 → q = 2/3, where pulling to zero gives 0.8 / 3."""
    bins = torch.tensor([[0], [1], [2], [1], [2]])
    settings = TrainConfig(conservative="gap", gap=0.2)
    assert minimum(bins, settings)[0] == pytest.approx(2 / 3, abs=1e-3)
    assert minimum(bins, TrainConfig())[0] == pytest.approx(0.8 / 3, abs=1e-3)


def minimum(bins, settings) -> list[float]:
    """Q of the three bins of one dimension that minimises TD and conservative loss together."""
    q = torch.full((3,), 0.5, requires_grad=True)
    optimiser = torch.optim.LBFGS([q], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12)

    def loss():
        optimiser.zero_grad()
        total = sum(losses.of_numbers(q.expand(5, 1, 3), bins, torch.full((5, 1), 0.8), settings))
        total.backward()
        return total

    optimiser.step(loss)
    return q.tolist()


def test_one_share_of_the_range_means_the_same_for_any_number_of_bins():
    """At the same places of the range, a third of it apart, a bin counts the same with 6 bins as with 600."""
    few, many = (smooth.ordinal_weights(tensor([[n // 6]]), torch.ones(1, n).bool(), 0.2)[0, 0] for n in (6, 600))
    assert few[3].item() == pytest.approx(many[300].item()) == pytest.approx(math.exp(-0.5 * (1 / 3 / 0.2) ** 2))
