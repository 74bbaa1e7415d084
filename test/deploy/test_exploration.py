import dataclasses

import numpy as np
import pytest
from test_pilot import STATE, observation
from tiny_bundle import write_tiny_bundle

from qtx_ros.deploy.exploration import Exploration, Explorer, annealed, gumbel, random_subset
from qtx_ros.deploy.pilot import Pilot
from qtx_ros.deploy.policy import Choice, Policy
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import decided_together, from_bins
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
DRAWS = 20_000
TOLERANCE = 0.02  # more than five standard deviations of a share of `DRAWS`


def choice(seed=0):
    q_all = np.random.default_rng(seed).random((8, 256), np.float32)
    bins = q_all.argmax(1)
    return Choice(bins, from_bins(SPEC, bins), q_all.max(1), q_all, 0, 0)


def test_epsilon_randomises_as_many_dimensions_as_computed_by_hand():
    counts, greedy, random = np.array([2, 4, 5]), np.array([1, 1, 1]), np.random.default_rng(0)
    drawn = np.array([random_subset(greedy, counts, 0.5, random) for _ in range(DRAWS)])
    chosen = 0.5 * (1 + 2 + 3) / 3 / 3  # half the time, 2 of the 3 dimensions on average
    np.testing.assert_allclose((drawn != greedy).mean(0), chosen * (1 - 1 / counts), atol=TOLERANCE)
    for values, count in zip(drawn.T, counts, strict=True):
        share = np.bincount(values, minlength=count) / DRAWS
        expected = np.full(count, chosen / count)
        expected[1] += 1 - chosen
        np.testing.assert_allclose(share, expected, atol=TOLERANCE)


def test_a_subset_leaves_the_other_dimensions_greedy():
    counts, greedy, random = np.full(8, 1000), np.zeros(8, int), np.random.default_rng(1)
    changed = np.array([(random_subset(greedy, counts, 1.0, random) > 0).sum() for _ in range(DRAWS)])
    np.testing.assert_allclose(np.bincount(changed, minlength=9)[1:] / DRAWS, np.full(8, 1 / 8), atol=TOLERANCE)


def test_gumbel_draws_from_the_softmax_and_never_an_absent_bin():
    q = np.array([[0.0, np.log(2), np.log(5)], [1.0, 1.0 + np.log(3), -np.inf]])
    random = np.random.default_rng(0)
    for temperature, expected in ((1.0, [[1, 2, 5], [1, 3, 0]]), (0.5, [[1, 4, 25], [1, 9, 0]])):
        drawn = np.array([gumbel(q, temperature, random) for _ in range(DRAWS)])
        for values, weights in zip(drawn.T, np.array(expected), strict=True):
            share = np.bincount(values, minlength=3) / DRAWS
            np.testing.assert_allclose(share, weights / weights.sum(), atol=TOLERANCE)
            assert (share[weights == 0] == 0).all()


def test_of_cells_one_is_drawn_first_however_many_bins_it_has():
    """Two cells of three bins and a row without cells: the cell's best Q counts once, not three times."""
    q = np.array([[np.log(4), np.log(2), 0.0, 0.0, 0.0, -np.inf], [0.0, np.log(3), *[-np.inf] * 4]])
    random = np.random.default_rng(0)
    drawn = np.array([gumbel(q, 1.0, random, (3, 1)) for _ in range(DRAWS)])
    first = np.array([4, 2, 1, 0, 0, 0]) / 7 * 4 / 5 + np.array([0, 0, 0, 1, 1, 0]) / 2 * 1 / 5
    for values, expected in zip(drawn.T, (first, np.array([1, 3, 0, 0, 0, 0]) / 4), strict=True):
        np.testing.assert_allclose(np.bincount(values, minlength=6) / DRAWS, expected, atol=TOLERANCE)


def test_an_explorer_draws_cells_first_where_the_network_does():
    dimension = dataclasses.replace(SPEC.dimensions[0], bins=6)
    spec = dataclasses.replace(SPEC, commands=(dataclasses.replace(SPEC.commands[0], dimensions=(dimension,)),))
    q_all = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, np.log(5)]], np.float32)
    greedy = Choice(np.array([5]), from_bins(spec, np.array([5])), q_all.max(1), q_all, 0, 0)
    for cells, last in ((None, 1 / 2), ((3,), 5 / 6 * 5 / 7), ((1,), 1 / 2)):
        explore = Explorer(Exploration(temperature=1.0), spec, cells)
        share = np.mean([explore(greedy).bins[0] == 5 for _ in range(5000)])
        assert share == pytest.approx(last, abs=0.04) and explore(greedy).q_all is q_all


def test_a_coarse_network_says_which_bins_it_decides_together():
    counts = dataclasses.replace(SPEC.commands[0], dimensions=SPEC.dimensions[:2])
    spec = dataclasses.replace(SPEC, commands=(counts,))
    assert decided_together(spec, {"code": "coarse", "code_base": 16}) == (16, 16)  # of 256 bins
    assert decided_together(spec, {"code": "coarse", "code_base": 256}) == (1, 1)
    assert decided_together(spec, {"code": "plain"}) is None and decided_together(spec, {}) is None


def test_a_temperature_near_zero_takes_the_best_bins():
    greedy = choice()
    assert (gumbel(greedy.q_all, 1e-300, np.random.default_rng(0)) == greedy.bins).all()


def test_the_temperature_falls_linearly_to_zero():
    assert [annealed(0.4, 4, k) for k in range(6)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0, 0.0])
    assert annealed(0.4, 0, 10**9) == 0.4


def test_an_annealed_explorer_ends_with_the_networks_own_choice():
    explore, greedy = Explorer(Exploration(temperature=10.0, anneal=3), SPEC), choice()
    assert [explore(greedy).explored for _ in range(3)] == [True] * 3
    assert all(explore(greedy) is greedy for _ in range(50))


def test_without_exploration_the_choice_is_the_networks_own():
    explore = Explorer(Exploration(), SPEC)
    for seed in range(20):
        greedy = choice(seed)
        assert explore(greedy) is greedy


def test_an_explored_choice_has_the_values_and_q_of_its_own_bins():
    explored = Explorer(Exploration(epsilon=1.0, seed=3), SPEC)(choice())
    assert explored.explored
    np.testing.assert_array_equal(explored.values, from_bins(SPEC, explored.bins))
    np.testing.assert_array_equal(explored.q, explored.q_all[np.arange(8), explored.bins])
    np.testing.assert_array_equal(explored.q_all, choice().q_all)


def test_equal_seeds_explore_alike_and_others_do_not():
    def run(seed):
        explore = Explorer(Exploration(0.3, 0.2, seed=seed), SPEC)
        return np.array([explore(choice(k)).bins for k in range(30)])

    np.testing.assert_array_equal(run(5), run(5))
    assert (run(5) != run(6)).any()


@pytest.mark.parametrize(
    "wrong, named",
    [({"epsilon": 1.1}, "epsilon is 1.1"), ({"temperature": -1.0}, "temperature is -1"),
     ({"temperature": float("nan")}, "temperature is nan"), ({"anneal": 5}, "no temperature"),
     ({"epsilon": 0.1, "seed": -1}, "seed -1")],
)  # fmt: skip
def test_senseless_exploration_is_refused_with_its_value(wrong, named):
    with pytest.raises(QtxError, match=named):
        Exploration(**wrong)


def test_a_pilot_explores_in_the_cells_of_its_policy(tmp_path):
    policy = Policy.load(write_tiny_bundle(tmp_path, SPEC), "cpu")
    policy.cells = (255,) * len(SPEC.dimensions)  # of 256 bins: the last one has a cell of its own
    pilot = Pilot(policy, exploration=Exploration(temperature=1e6))
    drawn = np.array([pilot.choose(observation()).bins for _ in range(50)])
    assert (drawn == 255).mean() == pytest.approx(0.5, abs=0.1)


def test_limits_and_steps_hold_for_explored_choices(tmp_path):
    limited = dataclasses.replace(
        SPEC.commands[0],
        dimensions=tuple(dataclasses.replace(d, limits=(-0.1, 0.1)) for d in SPEC.dimensions),
    )
    spec = dataclasses.replace(SPEC, commands=(limited,))
    policy = Policy.load(write_tiny_bundle(tmp_path, spec), "cpu")
    pilot = Pilot(policy, max_step=0.1, exploration=Exploration(epsilon=1.0))
    state = np.clip(STATE, -0.1, 0.1)
    commands = [pilot.decide(observation(state=state)) for _ in range(50)]
    assert all(command.choice.explored for command in commands[:3])
    values = np.array([command.values for command in commands])
    assert np.abs(values).max() <= 0.1
    assert np.abs(values[:, :7] - state[:7]).max() <= 0.1 * 0.3 + 1e-9
