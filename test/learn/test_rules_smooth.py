"""Ordinal smoothing by hand: who shares the target, who is exempt, and that no smoothing is the plain rule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from qtx_ros.learn import rules
from qtx_ros.learn import rules_smooth as smooth

Q = tensor([[[0.1, 0.2, 0.4], [0.6, 0.3, float("-inf")]]])
BINS = tensor([[1, 0]])
NEAR = math.exp(-0.5)  # weight of a neighbour at smooth = 1


def weights(value: float) -> torch.Tensor:
    return smooth.ordinal_weights(BINS, torch.isfinite(Q), value)


def test_weights_by_hand():
    assert weights(1.0)[0].tolist() == [pytest.approx([NEAR, 1, NEAR]), pytest.approx([1, NEAR, 0])]
    assert weights(0.0)[0].tolist() == [[0, 1, 0], [1, 0, 0]]


def test_neighbours_share_the_target():
    errors = smooth.squared_errors(Q, tensor([[1.0, 0.5]]))
    first = (NEAR * 0.81 + 0.64 + NEAR * 0.36) / (1 + 2 * NEAR)
    second = (0.01 + NEAR * 0.04) / (1 + NEAR)
    assert smooth.weighted_loss(errors, weights(1.0)).item() == pytest.approx(0.5 * (first + second) / 2)


def test_neighbours_are_exempt_from_conservatism_by_the_same_weight():
    errors = smooth.squared_errors(Q, torch.zeros(1, 2))
    left = smooth.untaken(weights(1.0), torch.isfinite(Q))
    assert left[0].tolist() == [pytest.approx([1 - NEAR, 0, 1 - NEAR]), pytest.approx([0, 1 - NEAR, 0])]
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
    w = smooth.ordinal_weights(tensor([[0]]), tensor([[True]]), 2.0)
    assert smooth.weighted_loss(torch.ones(1, 1, 1), smooth.untaken(w, tensor([[True]]))) == 0


def test_softmax_conservatism_by_hand():
    q = tensor([[[0.0, math.log(3), float("-inf")]]])
    found = smooth.soft_label_loss(q, smooth.ordinal_weights(tensor([[1]]), torch.isfinite(q), 0))
    assert found.item() == pytest.approx(
        math.log(4) - math.log(3)
    )
