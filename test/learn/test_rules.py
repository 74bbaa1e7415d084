"""Targets and losses, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import tensor

from qtx_ros.learn import rules

# Two states, two action dimensions of two bins. At s the behaviour took bins (0, 1) and reached s′.
Q_SAME = tensor([[[0.1, 0.2], [0.3, 0.7]]])  # Q_1(s, ·) and Q_2(s, 0, ·)
NEXT = tensor([0.5])  # max Q_1(s′, ·)


def targets(reward: float = 0.0, discount: float = 0.9, terminal: float = 0.0) -> list[float]:
    return rules.bellman_targets(Q_SAME, NEXT, tensor([reward]), tensor([discount]), tensor([terminal]))[0].tolist()


@pytest.mark.parametrize("reward", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("discount", [0.0, 0.5, 0.98])
def test_two_state_mdp_by_hand(reward, discount):
    first, last = targets(reward, discount)
    assert first == pytest.approx(0.7)  # best of dimension 2 at the same state, no reward, no discount
    assert last == pytest.approx(reward + discount * 0.5)


def test_terminal_cuts_the_bootstrap():
    assert targets(1.0, 0.9, terminal=0.0)[1] == pytest.approx(1.45)
    assert targets(1.0, 0.9, terminal=1.0)[1] == pytest.approx(1.0)


def test_absent_bins_never_make_a_target():
    q = tensor([[[0.1, -0.2, 0.3], [-0.5, -0.4, float("-inf")]]])
    assert rules.bellman_targets(q, NEXT, *torch.zeros(3, 1))[0, 0] == pytest.approx(-0.4)


def test_lower_bound_is_each_transitions_own_return():
    bellman = tensor([[0.2, 0.6], [0.2, 0.6]])
    bounded = rules.lower_bound(bellman, tensor([0.5, 0.0]))
    torch.testing.assert_close(bounded, tensor([[0.5, 0.6], [0.2, 0.6]]))


def test_td_loss_is_a_mean_over_samples_and_dimensions():
    q = tensor([[[0.0, 1.0], [0.5, 0.0]]])
    loss = rules.temporal_difference_loss(q, tensor([[1, 0]]), tensor([[0.0, 0.5]]))
    assert loss == pytest.approx(0.5 * (1.0 + 0.0) / 2)


def test_conservative_loss_is_a_mean_over_unseen_bins():
    q = tensor([[[9.0, 0.2, 0.4], [0.6, 9.0, float("-inf")]]])
    loss = rules.conservative_loss(q, tensor([[0, 1]]))
    assert loss == pytest.approx(0.5 * ((0.04 + 0.16) / 2 + 0.36) / 2)


def test_losses_do_not_depend_on_batch_size():
    q, bins, target = torch.rand(4, 3, 5), torch.randint(0, 5, (4, 3)), torch.rand(4, 3)
    for loss in (rules.conservative_loss, rules.behaviour_cloning_loss):
        assert loss(q.repeat(8, 1, 1), bins.repeat(8, 1)) == pytest.approx(loss(q, bins).item(), rel=1e-5)
    td = rules.temporal_difference_loss
    assert td(q.repeat(8, 1, 1), bins.repeat(8, 1), target.repeat(8, 1)) == pytest.approx(td(q, bins, target).item())


def test_conservative_gradient_pulls_values_not_logits_to_the_minimum():
    q = torch.full((1, 1, 3), 0.8, requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(rules.conservative_loss(q, tensor([[0]])), q)
        q = (q - gradient).detach().requires_grad_()
    torch.testing.assert_close(q.detach(), tensor([[[0.8, 0.0, 0.0]]]), atol=1e-6, rtol=0)


def test_masked_bins_send_no_gradient_and_no_nan():
    q = tensor([[[0.5, 0.2, float("-inf")]]], requires_grad=True)
    bins = tensor([[0]])
    loss = rules.conservative_loss(q, bins) + rules.temporal_difference_loss(q, bins, tensor([[1.0]]))
    loss.backward()
    assert torch.isfinite(q.grad).all() and q.grad[0, 0, 2] == 0


def test_behaviour_cloning_prefers_the_taken_bin():
    q = torch.zeros(1, 2, 3, requires_grad=True)
    rules.behaviour_cloning_loss(q, tensor([[2, 0]])).backward()
    assert q.grad[0].argmin(-1).tolist() == [2, 0]


def test_taken_reads_the_bins_of_each_dimension():
    q = torch.arange(12.0).reshape(1, 3, 4)
    assert rules.taken(q, tensor([[3, 0, 2]])).tolist() == [[3.0, 4.0, 10.0]]
