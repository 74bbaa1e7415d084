"""Bounds that let values travel faster: no other values than dynamic programming's where nothing is left to chance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mdp import best_completions, optimal, random_mdp
from test_mdp import PLAIN, assert_close, learned

from qtx_ros.learn import rules


def certain(mdp):
    """The MDP without chance: the first outcome of each action."""
    first = {name: getattr(mdp, name)[..., [0, 0]] for name in ("rewards", "following", "ends")}
    return replace(mdp, **first)


@pytest.mark.parametrize("bins", [(6,), (2, 3), (2, 2, 2, 2)], ids=str)
def test_without_chance_the_bound_changes_no_value(bins):
    mdp = certain(random_mdp(3, bins))
    found = learned(mdp, replace(PLAIN, gamma=0.7, completion=True), depth=1, starts=3)
    assert_close(found, best_completions(mdp, optimal(mdp, 0.7)), 3)


def test_a_reward_reaches_every_dimension_in_one_update():
    reward, discount, going_on = torch.tensor([1.0]), torch.tensor([0.5]), torch.zeros(1)
    targets = rules.bellman_targets(torch.zeros(1, 3, 2), torch.tensor([0.4]), reward, discount, going_on)
    assert targets.tolist() == [[0.0, 0.0, pytest.approx(1.2)]]
    assert rules.completion_bound(targets).tolist() == [[pytest.approx(1.2)] * 3]
    assert rules.completion_bound(torch.tensor([[0.9, 0.2, 0.5]])).flatten().tolist() == pytest.approx([0.9, 0.5, 0.5])



@pytest.mark.parametrize("bins", [(4,), (2, 2)], ids=str)
def test_tightened_n_steps_end_at_the_values_of_one_step(bins):
    mdp, settings = certain(random_mdp(2, bins, states=2, ending=0.0)), replace(PLAIN, gamma=0.8, n_step=3)
    best = best_completions(mdp, optimal(mdp, 0.8))
    assert_close(learned(mdp, replace(settings, tighten=True, completion=True), depth=3, starts=2), best, 2)
    behaviour = learned(mdp, settings, depth=3, starts=2)
    assert max(abs(a - b).max() for a, b in zip(behaviour, best, strict=True)) > 0.05  # n steps alone blame the data


def test_a_target_of_n_steps_is_at_least_that_of_one():
    targets = rules.tightened(torch.tensor([[0.9, 0.2], [0.1, 0.7]]), torch.tensor([0.5, 0.3]))
    assert targets.flatten().tolist() == pytest.approx([0.9, 0.5, 0.1, 0.7])
