"""The gradient of every loss equals its numerical derivative, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qtx_ros.learn import rules, rules_expectile, rules_histogram, rules_regularise, rules_smooth

COUNTS = torch.tensor([4, 2, 3])
PRESENT = torch.arange(4) < COUNTS[:, None]  # [D, M]
BINS = torch.tensor([[3, 1, 0], [0, 0, 2]])
TARGETS = torch.tensor([[0.3, 0.9, 0.5], [0.0, 1.0, 0.2]], dtype=torch.float64)
EDGES = torch.linspace(-0.2, 1.2, 8, dtype=torch.float64)
WEIGHTS = rules_smooth.ordinal_weights(BINS, PRESENT, 0.2).double()
REST = rules_smooth.untaken(WEIGHTS, PRESENT)
EVERY, SOME = torch.ones(2, 3, dtype=torch.bool), torch.tensor([True, False])


def smoothed(q: Tensor) -> Tensor:
    errors, zero = rules_smooth.squared_errors(q, TARGETS), torch.zeros_like(TARGETS)
    return rules_smooth.weighted_loss(errors, WEIGHTS) + rules_smooth.weighted_loss(
        rules_smooth.squared_errors(q, zero), REST
    )


LOSSES_OF_Q = {
    "td": lambda q: rules.temporal_difference_loss(q, BINS, TARGETS),
    "conservative": lambda q: rules.conservative_loss(q, BINS, -0.1),
    "cloning": lambda q: rules.behaviour_cloning_loss(q, BINS),
    "smoothed": smoothed,
    "below a gap": lambda q: rules_smooth.weighted_loss(rules_smooth.excess_errors(q, TARGETS - 0.2), REST),
    "soft labels": lambda q: rules_smooth.soft_label_loss(q, WEIGHTS),
    "margin": lambda q: rules_regularise.margin_loss(q, BINS, SOME, 0.3),
    "consistency": lambda q: rules_regularise.consistency_loss(q, BINS, EVERY),
    "implicit Q": lambda q: rules_expectile.state_action_loss(q, WEIGHTS, torch.tensor([0.4, 0.7])),
    "weighted cloning": lambda q: rules_expectile.weighted_cloning_loss(q, WEIGHTS, torch.tensor([0.5, 2.0])),
}


@pytest.mark.parametrize("name", list(LOSSES_OF_Q))
def test_gradient_of_a_loss_of_q(name):
    torch.manual_seed(3)
    free = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)  # no two alike: a maximum has no kink there
    assert torch.autograd.gradcheck(lambda x: LOSSES_OF_Q[name](x.masked_fill(~PRESENT, float("-inf"))), free)


def test_gradient_of_the_histogram_loss():
    torch.manual_seed(4)
    logits = torch.randn(2, 3, 4, 7, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(TARGETS)

    def loss(x: Tensor) -> Tensor:
        seen, unseen = (rules_histogram.histogram_errors(x, y, EDGES, 0.75) for y in (TARGETS, zero))
        return rules_smooth.weighted_loss(seen, WEIGHTS) + rules_smooth.weighted_loss(unseen, REST)

    assert torch.autograd.gradcheck(loss, logits)


def test_gradient_of_the_losses_of_numbers():
    torch.manual_seed(5)
    value, q = torch.rand(2, 6, dtype=torch.float64).unbind()
    value, q = value.requires_grad_(), q.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, x: rules_expectile.expectile_loss(v, x, 0.8), (value, q))
    start = torch.rand(6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: rules_regularise.regenerative_loss([v], [start]), value)
