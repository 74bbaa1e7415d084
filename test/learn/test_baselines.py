"""The baselines on bandits whose answers are known by hand: one state, one step, a robot without cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mdp import MemoryEpisode, spec_of
from small_run import PARTS, SMALL, small_config
from table import Table, solve, whole_batch

from qtx_ros.data.dataset import Dataset, Windows
from qtx_ros.errors import QtxError
from qtx_ros.learn import contexts
from qtx_ros.learn.methods import METHODS
from qtx_ros.learn.methods_iql import whole_action
from qtx_ros.learn.train import default_config, read_config
from qtx_ros.learn.trainer import Trainer, to_tensors
from qtx_ros.paths import share

BINS = (3, 3)
ACTIONS = np.array([[0, 0], [2, 2], [2, 1]])
TRIED = [(0, 0.2)] * 4 + [(1, 0.8)] * 3 + [(2, 0.8)]  # number of the action, reward: half of them succeed


def bandit() -> Windows:
    """Eight episodes of one step."""
    spec = spec_of(BINS)
    return Windows(Dataset(spec, [MemoryEpisode(spec, ACTIONS, [(0, a, r)], True, 0) for a, r in TRIED]))


def trained(method: str, steps: int = 120, **changes) -> tuple[Trainer, dict[str, torch.Tensor]]:
    """A trainer after full batches, and the batch."""
    data, network = bandit(), replace(SMALL, **PARTS.get(method, {}))
    free = {"learning_rate": 1e-2, "weight_decay": 0.0, "final_learning_rate": 0.02, "target_rate": 0.1}
    trainer = Trainer(data.spec, small_config(method=method, model=network, steps=steps, **free, **changes), 0)
    batch = data.batch(np.arange(len(data)))
    for _ in range(steps):
        trainer.update(batch)
    trainer.model.eval()
    return trainer, to_tensors(batch, trainer.device)


@torch.no_grad()
def probabilities(model, context, bins: list[int]) -> list[list[float]]:
    """Of the bins of each dimension, given those before it."""
    return model.q_values(context[:1], torch.tensor([bins])).softmax(-1)[0].tolist()


def test_imitation_of_everything_is_the_mixture():
    trainer, batch = trained("bc")
    context = contexts.online(trainer.model, batch)
    first, second = probabilities(trainer.model, context, [2, 0])
    assert first == pytest.approx([0.5, 0.0, 0.5], abs=0.02)
    assert second == pytest.approx([0.0, 0.25, 0.75], abs=0.02)


def test_imitation_with_soft_labels_spreads_over_neighbours():
    trainer, batch = trained("bc", smooth=0.5 / 3)
    near = np.exp(-2.0)  # weight of a neighbour, two standard deviations away
    far = np.exp(-8.0)
    rows = np.array([[1, near, far], [far, near, 1]]) / [[1 + near + far]]
    found = probabilities(trainer.model, contexts.online(trainer.model, batch), [2, 0])
    assert found[0] == pytest.approx(rows.mean(0), abs=0.02)


def test_a_decision_transformer_imitates_the_half_that_it_is_asked_for():
    trainer, batch = trained("dt")
    model = trainer.model
    asked = contexts.online(model, batch)  # as exported: return 1
    assert probabilities(model, asked, [2, 0])[0] == pytest.approx([0.0, 0.0, 1.0], abs=0.02)
    assert probabilities(model, asked, [2, 0])[1] == pytest.approx([0.0, 0.25, 0.75], abs=0.02)
    assert model.decode(asked)[0][0].tolist() == [2, 2]
    poor = model.wanted.replace(asked, torch.zeros(len(asked)))
    assert model.decode(poor)[0][0].tolist() == [0, 0]


def test_implicit_q_learning_finds_expectile_and_weighted_policy():
    trainer, batch = trained("iql", steps=300, expectile=0.8, temperature=3.0)
    model = trainer.model
    context = contexts.online(model, batch)
    q = whole_action(model.critic_q_values(context, batch["bins"])[0], batch["bins"])
    torch.testing.assert_close(q.detach(), batch["reward"], atol=0.02, rtol=0)
    assert model.state_value(context)[0].item() == pytest.approx(0.2 + 0.8 * 0.6, abs=0.02)  # of 0.2 and 0.8
    better = np.exp(3.0 * 0.6)  # how much more an action that is worth 0.6 more weighs
    first, second = probabilities(model, context, [2, 0])
    assert first == pytest.approx([1 / (1 + better), 0.0, better / (1 + better)], abs=0.02)
    assert second == pytest.approx([0.0, 0.25, 0.75], abs=0.03)
    assert model.decode(context)[0][0].tolist() == [2, 2]  # the actor decides


SHARE, REWARD = np.array([0.5, 0.375, 0.125]), np.array([0.2, 0.8, 0.8])  # of the three actions


def one_dimension() -> dict[str, torch.Tensor]:
    """The same bandit with one dimension of three bins."""
    spec = spec_of((3,))
    episodes = [MemoryEpisode(spec, np.array([[0], [1], [2]]), [(0, a, r)], True, 0) for a, r in TRIED]
    return whole_batch(Windows(Dataset(spec, episodes)))


def test_full_conservatism_shrinks_what_is_rarely_done():
    table = Table(1, (3,))
    solve(table, Table(1, (3,)), one_dimension(), small_config(alpha=1.0, monte_carlo=False))
    expected = REWARD * SHARE / (SHARE + (1 - SHARE) / 2)
    assert table.values()[0][0, 0].tolist() == pytest.approx(expected, abs=1e-4)


def test_smoothed_values_are_means_over_neighbours():
    table = Table(1, (3,))
    solve(table, Table(1, (3,)), one_dimension(), small_config(alpha=0.0, monte_carlo=False, smooth=1 / 3))
    weights = np.exp(-0.5 * np.subtract.outer(np.arange(3), np.arange(3)) ** 2)  # of bin b, when a was taken
    weights = weights / weights.sum(0) * SHARE
    assert table.values()[0][0, 0].tolist() == pytest.approx(weights @ REWARD / weights.sum(1), abs=1e-4)


def test_conservative_q_learning_is_a_lower_bound():
    alpha, batch = 0.2, one_dimension()
    table, config = Table(1, (3,)), small_config(method="cql", alpha=alpha)
    optimiser = torch.optim.LBFGS(table.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        found = METHODS["cql"](table, table, batch, config)[0]
        found.backward()
        return found

    optimiser.step(loss)
    q = table.values()[0][0, 0]
    policy = q.softmax(-1).numpy()
    expected = REWARD - alpha * (policy / SHARE - 1)  # where the derivative of the loss is zero
    assert q.tolist() == pytest.approx(expected, abs=1e-4)
    assert policy @ q.numpy() < policy @ REWARD


def test_conservative_q_learning_has_no_monte_carlo_bound():
    """A return that no backup explains is no target of cql: of q it is."""
    batch, zeros = one_dimension(), Table(1, (3,))
    for table in zeros.parameters():
        table.data.zero_()
    lucky = {**batch, "returns": batch["returns"] + 0.1}

    def targets(method: str) -> list[float]:
        losses = [METHODS[method](zeros, zeros, b, small_config(method=method)) for b in (batch, lucky)]
        return [metrics["target"].item() for _, metrics in losses]

    mean = SHARE @ REWARD
    assert targets("cql") == pytest.approx([mean, mean]) and targets("q") == pytest.approx([mean, mean + 0.1])


def test_a_network_without_the_parts_of_its_method_is_refused():
    with pytest.raises(QtxError, match="model.actor is false with iql, expected true"):
        small_config(method="iql")
    with pytest.raises(QtxError, match="model.returns is true with q, expected false: dt needs it"):
        small_config(model=replace(SMALL, returns=True))
    with pytest.raises(QtxError, match="critics is 2, expected 1: method dt has no values"):
        small_config(method="dt", model=replace(SMALL, returns=True, critics=2))
    with pytest.raises(QtxError, match="loss is hl_gauss and model.atoms 0"):
        small_config(loss="hl_gauss")
    with pytest.raises(QtxError, match="consistency is 0.5, expected 0: bc has no use for it"):
        small_config(method="bc", consistency=0.5)
    with pytest.raises(QtxError, match="completion is true, expected false: dt has no use for it"):
        small_config(method="dt", model=replace(SMALL, returns=True), completion=True)
    with pytest.raises(QtxError, match="conservative is gap, which only method q knows, not cql"):
        small_config(method="cql", conservative="gap")
    for method in ("bc", "dt", "iql"):
        with pytest.raises(QtxError, match=f"conservative is softmax, expected zero: {method} has no use for it"):
            small_config(method=method, model=replace(SMALL, **PARTS.get(method, {})), conservative="softmax")
    for key, said in (("gap", "conservative zero, which reads none: gap does"),
                      ("atom_sigma", "loss mse, which reads none: hl_gauss does"),
                      ("expectile", "method q, which reads none: iql does"),
                      ("temperature", "method q, which reads none: iql does")):  # fmt: skip
        with pytest.raises(QtxError, match=f"{key} is 0.6 with {said}"):
            small_config(**{key: 0.6})
    with pytest.raises(QtxError, match="margin is 0.1, but its margin_weight is 0"):
        small_config(margin=0.1)
    with pytest.raises(QtxError, match="episodes is 'good', expected one of all, success, demonstrations"):
        small_config(episodes="good")


def test_every_shipped_configuration_is_one():
    folder = share("config/train")
    methods = {path.stem: read_config(str(path)).method for path in folder.glob("*.yaml")}
    assert {"q", "bc", "iql", "cql", "dt"} == set(methods.values()) and methods["sawyer_sim"] == "q"


@pytest.mark.parametrize("method", ["q", "bc", "iql", "cql", "dt"])
def test_every_method_has_a_configuration_that_is_taken_when_none_is_named(method):
    assert read_config(default_config(method), method=method).method == method
