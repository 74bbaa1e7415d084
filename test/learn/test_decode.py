"""Greedy autoregressive decoding of a trained network finds what trying every combination finds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.learn import rules
from qtx_ros.model.policy import QTransformer

COMBINATIONS = torch.tensor(list(itertools.product(range(5), repeat=3)))  # [125, 3]


def reward(state: int) -> torch.Tensor:
    """[125]: each dimension has one best bin, which depends on the state or on the bin before it."""
    first, second, third = COMBINATIONS.T
    hits = (first == 1 + 2 * state).float(), second == (first + 2) % 5, third == 4 - second
    return sum(hits) / 3


def natural(model: QTransformer, bins: torch.Tensor) -> torch.Tensor:
    """Tokens of bins, in the natural order of the dimensions."""
    return bins + 5 * torch.arange(3) if model.config.order == "random" else model.to_tokens(bins)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"critics": 2},
        {"tie_bins": True},
        {"order": "random"},
    ],
    ids=["one", "twins", "tied", "random order"],
)
def test_decoding_equals_exhaustive_argmax_of_the_trained_q(changes):
    """A bandit with two states, and every combination of bins tried in each."""
    torch.manual_seed(0)
    rewards = torch.stack([reward(0), reward(1)])
    bins = COMBINATIONS.repeat(2, 1)  # [250, 3]
    model = QTransformer(small_spec((5, 5, 5), history=1), replace(SMALL, width=32, **changes))
    ring = torch.randn(2, *model.ring_shape)  # one for each state
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    steps = 700 if "tie_bins" in changes else 400  # what a tied head learns of a bin moves its embedding too
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, total_iters=steps)
    for _ in range(steps):
        context, tokens = model.context(ring).repeat_interleave(125, 0), model.to_tokens(bins)
        q = model.q_values(context, tokens)  # [250, 3, 5], of twins the smaller one
        ends = torch.ones(250)
        targets = rules.bellman_targets(q.detach(), torch.zeros(250), rewards.flatten(), ends, ends)
        optimiser.zero_grad()
        critics = model.critic_q_values(context, tokens)
        sum(rules.temporal_difference_loss(q, tokens, targets) for q in critics).backward()
        optimiser.step(), decay.step()
    with torch.no_grad():
        context = model.eval().context(ring)
        greedy, _, _ = model.decode(context)
        tokens = natural(model, bins)
        q = rules.taken(model.q_values(context.repeat_interleave(125, 0), tokens), tokens)  # [250, 3]
    best = q[:, -1].reshape(2, 125).argmax(1)  # over Q of whole combinations
    assert torch.equal(greedy, COMBINATIONS[best])
    assert torch.equal(greedy, COMBINATIONS[rewards.argmax(1)])
