"""On random MDPs the learned Q is that of dynamic programming, for every backup rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mdp import Mdp, as_tables, best_completions, bounded, optimal, random_mdp, windows
from table import Table, solve, whole_batch

from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.config import ModelConfig

CLOSE = 1e-2
PLAIN = TrainConfig(alpha=0.0, monte_carlo=False, value_high=10.0)
SHAPES = [(6,), (2, 3), (5, 2), (2, 3, 2), (3, 2, 3), (2, 2, 2, 2)]
EPISODIC = [((4,), 1, 3), ((3,), 2, 3), ((2, 2), 2, 2), ((2, 3), 2, 2), ((2, 2, 2), 2, 2), ((2, 2, 2, 2), 1, 2)]
each_episodic = pytest.mark.parametrize(("bins", "states", "layers"), EPISODIC, ids=str)  # layers: steps at most


def learned(mdp: Mdp, settings: TrainConfig, depth: int, starts: int) -> list[np.ndarray]:
    """Q [S, prefixes, bins] of each dimension after training on all that can happen."""
    batch = whole_batch(windows(mdp, settings.gamma, settings.n_step, depth, starts, settings.tighten))
    table, target = (
        Table(len(mdp.rewards), mdp.bins, settings.model.critics, settings.model.atoms, settings.value_high)
        for _ in range(2)
    )
    solve(table, target, batch, settings)
    return [q.numpy() for q in table.values()]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], states: int) -> None:
    for a, b in zip(found, expected, strict=True):
        known = np.isfinite(b[:states])
        assert known.any() and np.abs(a[:states] - b[:states])[known].max() < CLOSE


@pytest.mark.parametrize("bins", SHAPES, ids=str)
@pytest.mark.parametrize("gamma", [0.3, 0.7])
def test_one_step(bins, gamma):
    mdp = random_mdp(1, bins)
    found = learned(mdp, replace(PLAIN, gamma=gamma), depth=1, starts=3)
    assert_close(found, best_completions(mdp, optimal(mdp, gamma)), 3)


@pytest.mark.parametrize(("bins", "n_step"), [((4,), 2), ((4,), 3), ((2, 2), 2), ((2, 2), 3), ((2, 2, 2), 2)], ids=str)
def test_n_step_follows_the_data_then_the_best(bins, n_step):
    mdp = random_mdp(2, bins, states=2, ending=0.0)
    settings = replace(PLAIN, gamma=0.8, n_step=n_step)
    found = learned(mdp, settings, depth=n_step, starts=2)
    assert_close(found, best_completions(mdp, optimal(mdp, 0.8, n_step)), 2)
    one = best_completions(mdp, optimal(mdp, 0.8))
    assert np.abs(found[0] - one[0]).max() > CLOSE  # what the data does in between is not the best


@pytest.mark.parametrize("n_step", [1, 2])
@each_episodic
def test_n_step_up_to_a_terminal_state(bins, states, layers, n_step):
    mdp = random_mdp(3, bins, states=states, layers=layers, ending=0.2)
    found = learned(mdp, replace(PLAIN, gamma=0.8, n_step=n_step), depth=layers, starts=states)
    assert_close(found, best_completions(mdp, optimal(mdp, 0.8, n_step)), states * layers)


@pytest.mark.parametrize("n_step", [1, 2])
@each_episodic
def test_the_monte_carlo_bound_has_the_fixed_point_that_it_should(bins, states, layers, n_step):
    mdp = random_mdp(4, bins, states=states, layers=layers, ending=0.2)
    settings = replace(PLAIN, gamma=0.8, n_step=n_step, monte_carlo=True)
    found = learned(mdp, settings, depth=layers, starts=states)
    expected = as_tables(bounded(mdp, 0.8, n_step, layers), states * layers, bins)
    assert_close(found, expected, states * layers)
    without = best_completions(mdp, optimal(mdp, 0.8, n_step))
    assert all((a >= b - 1e-6).all() for a, b in zip(expected, without, strict=True))
    assert np.abs(expected[0] - without[0]).max() > CLOSE  # chance makes the bound optimistic


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ModelConfig(critics=2)},
        {"loss": "hl_gauss", "model": ModelConfig(critics=2, atoms=41, value_range=(0.0, 3.0)), "value_high": 3.0},
    ],
    ids=["twins", "twins of histograms"],
)
@pytest.mark.parametrize("bins", [(5,), (2, 3)], ids=str)
def test_other_critics_have_the_same_fixed_point(bins, changes):
    mdp = random_mdp(5, bins)
    found = learned(mdp, replace(PLAIN, gamma=0.3, **changes), depth=1, starts=3)
    assert_close(found, best_completions(mdp, optimal(mdp, 0.3)), 3)


HISTOGRAMS = {"loss": "hl_gauss", "model": ModelConfig(atoms=41, value_range=(0.0, 3.0))}
UNSEEN = [((6,), {}), ((3, 4), {}), ((3, 4), HISTOGRAMS), ((2, 3, 2), {}), ((2, 2, 2, 2), {})]


@pytest.mark.parametrize(("bins", "changes"), UNSEEN, ids=["6", "3x4", "3x4 histograms", "2x3x2", "2x2x2x2"])
def test_actions_absent_from_the_data_go_to_zero(bins, changes):
    mdp = random_mdp(6, bins, share=0.5)
    settings = replace(PLAIN, gamma=0.5, alpha=2e-4, value_high=3.0, **changes)
    found = learned(mdp, settings, depth=1, starts=3)
    expected = best_completions(mdp, optimal(mdp, 0.5))
    assert_close(found, expected, 3)
    reached = np.ones((3, 1), bool)  # prefixes that the data holds
    for q, known in zip(found, expected, strict=True):
        absent = reached[:, :, None] & np.isinf(known)
        assert np.abs(q[absent]).max(initial=0) < CLOSE
        reached = np.isfinite(known).reshape(3, -1)
