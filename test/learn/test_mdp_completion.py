"""Bounds that let values travel faster: values of dynamic programming, optimistic where chance decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mdp import as_tables, best_completions, hoped, optimal, random_mdp
from test_mdp import CLOSE, PLAIN, assert_close, learned

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

HOPES = {
    "tightened": {"n_step": 2, "tighten": True},
    "completed": {"completion": True},
    "both": {"n_step": 2, "tighten": True, "completion": True},
}
UNDER_CHANCE = [((4,), "tightened"), ((2, 2), "tightened"), ((2, 3), "completed"), ((2, 2, 2), "completed"),
                ((2, 2), "both"), ((3, 2), "both")]  # fmt: skip


@pytest.mark.parametrize("layers", [0, 2], ids=["for ever", "episodes"])
@pytest.mark.parametrize(("bins", "name"), UNDER_CHANCE, ids=str)
def test_under_chance_the_bounds_have_the_fixed_point_that_they_should(bins, name, layers):
    settings = replace(PLAIN, gamma=0.6, **HOPES[name])
    n_step, states = settings.n_step, 2 * max(layers, 1)
    mdp = random_mdp(2, bins, states=2, layers=layers, ending=0.2 if layers else 0.0)
    found = learned(mdp, settings, depth=layers or n_step, starts=2)
    expected = as_tables(hoped(mdp, settings.gamma, n_step, settings.tighten, settings.completion), states, bins)
    assert_close(found, expected, states)
    for steps in {1, n_step}:  # optimistic: no less than without the bounds, and more than there is to get
        plain = best_completions(mdp, optimal(mdp, settings.gamma, steps))
        assert all((a >= b - 1e-5).all() for a, b in zip(expected, plain, strict=True))
        assert max((a - b).max() for a, b in zip(expected, plain, strict=True)) > 2 * CLOSE


def test_without_bounds_the_same_program_is_value_iteration():
    mdp = random_mdp(3, (2, 3), states=2, ending=0.2)
    for n_step in (1, 2):
        found, plain = as_tables(hoped(mdp, 0.7, n_step), 2, (2, 3)), best_completions(mdp, optimal(mdp, 0.7, n_step))
        assert max(abs(a - b).max() for a, b in zip(found, plain, strict=True)) < 1e-5


def test_a_target_of_n_steps_is_at_least_that_of_one():
    targets = rules.tightened(torch.tensor([[0.9, 0.2], [0.1, 0.7]]), torch.tensor([0.5, 0.3]))
    assert targets.flatten().tolist() == pytest.approx([0.9, 0.5, 0.1, 0.7])
