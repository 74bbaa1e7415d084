"""Margins, consistent backups and the pull to the initial weights, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import tensor

from qtx_ros.learn import rules_expectile as expectile
from qtx_ros.learn import rules_regularise as rules
from qtx_ros.learn.rules import backed_up

Q = tensor([[[0.5, 0.45, 0.1], [0.2, 0.6, float("-inf")]], [[9.0, 0.0, 0.0], [0.0, 9.0, float("-inf")]]])
BINS = tensor([[0, 0], [1, 0]])


def test_a_margin_is_asked_of_demonstrated_samples_only():
    # sample 0: 0.45 + 0.1 leads 0.5 by 0.05; 0.6 + 0.1 leads 0.2 by 0.5
    found = rules.margin_loss(Q, BINS, tensor([True, False]), 0.1)
    assert found.item() == pytest.approx((0.05 + 0.5) / 4)
    assert rules.margin_loss(Q, BINS, tensor([False, False]), 0.1) == 0


def test_a_margin_that_is_kept_costs_nothing():
    assert rules.margin_loss(tensor([[[0.9, 0.1]]]), tensor([[0]]), tensor([True]), 0.5) == 0


def test_consistency_counts_what_leads_the_bin_that_a_backup_assumed():
    assumed = tensor([[1, 1], [0, 1]])
    # sample 0, decision 0: bin 0 leads the assumed bin 1 by 0.05; all others are greedy as assumed
    assert rules.consistency_loss(Q, assumed, torch.ones(2, 2, dtype=torch.bool)).item() == pytest.approx(0.05 / 4)
    counts = tensor([[False, True], [True, True]])
    assert rules.consistency_loss(Q, assumed, counts) == 0


def test_consistency_lowers_the_wrong_bin_and_raises_the_assumed_one():
    q = Q.clone().requires_grad_()
    rules.consistency_loss(q, tensor([[1, 1], [0, 1]]), torch.ones(2, 2, dtype=torch.bool)).backward()
    assert torch.isfinite(q.grad).all()
    assert q.grad[0, 0].tolist() == [0.25, -0.25, 0.0] and not q.grad[1].any()


def test_the_pull_to_the_initial_weights_is_a_sum_of_squares():
    start, now = [tensor([1.0, 2.0]), tensor([[3.0]])], [tensor([1.5, 2.0]), tensor([[1.0]])]
    assert rules.regenerative_loss(now, start).item() == pytest.approx(0.25 + 4.0)


def test_expectile_loss_by_hand():
    value, q = tensor([0.5, 0.5]), tensor([0.7, 0.1])
    assert expectile.expectile_loss(value, q, 0.9).item() == pytest.approx((0.9 * 0.04 + 0.1 * 0.16) / 2)


def test_implicit_q_by_hand():
    q = tensor([[[9.0, 9.0], [0.1, 0.5]]])  # the last of two dimensions counts; its second bin was taken
    labels = tensor([[[1.0, 0.0], [0.0, 1.0]]])
    for ended, target in ((0.0, 0.2 + 0.9 * 0.5), (1.0, 0.2)):
        numbers = tensor([0.2]), tensor([0.9]), tensor([ended]), tensor([0.5])
        found = expectile.state_action_loss(q, labels, backed_up(*numbers))
        assert found.item() == pytest.approx(0.5 * (0.5 - target) ** 2)
    labels = tensor([[[1.0, 0.0], [0.25, 1.0]]])  # and its neighbour a quarter
    found = expectile.state_action_loss(q, labels, tensor([0.2]))
    assert found.item() == pytest.approx(0.5 * (0.25 * 0.1**2 + 0.3**2) / 1.25)


def test_advantages_weigh_imitation_and_are_bounded():
    weights = expectile.advantage_weights(tensor([0.0, 1.0, 99.0]), 2.0)
    assert weights.tolist() == pytest.approx([1.0, 7.389056, 100.0])
    labels = torch.nn.functional.one_hot(tensor([[0], [3]]), 4).float()
    loss = expectile.weighted_cloning_loss(torch.zeros(2, 1, 4), labels, tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(2.0 * 1.3862944)
