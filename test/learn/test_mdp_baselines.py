"""IQL and CQL on random MDPs: the values that their own equations ask for, solved without any network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mdp import Mdp, random_mdp, windows
from table import Table, whole_batch

from qtx_ros.learn.methods import METHODS
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.config import ModelConfig

GAMMA, CLOSE = 0.7, 1e-2
PLAIN = TrainConfig(alpha=0.0, monte_carlo=False, value_high=10.0, gamma=GAMMA)


class ActorTable(Table):
    """A table with an actor and a value for each state."""

    def __init__(self, states: int, bins: tuple[int, ...]) -> None:
        super().__init__(states, bins)
        self.actor = Table(states, bins)
        self.value = torch.nn.Parameter(torch.zeros(states, dtype=torch.float64))

    def q_values(self, context, bins):
        return self.actor.q_values(context, bins)

    def state_value(self, context):
        return self.value[context[:, -1, 0].long()]


def trained(table: Table, mdp: Mdp, settings: TrainConfig, steps: int = 1500) -> Table:
    """By gradient descent on all that can happen, towards a target network that follows."""
    batch = whole_batch(windows(mdp, GAMMA, 1, 1, len(mdp.rewards)))
    target = type(table)(len(mdp.rewards), mdp.bins)
    target.load_state_dict(table.state_dict())
    optimiser = torch.optim.Adam(table.parameters(), 0.02)
    rates = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    for _ in range(steps):
        loss, _ = METHODS[settings.method](table, target, batch, settings)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(target.parameters()), list(table.parameters()), 0.05)
    return table


def backed_up(mdp: Mdp, value: np.ndarray) -> np.ndarray:
    """r + γ V(s′), [S, A]."""
    return (mdp.rewards + GAMMA * ~mdp.ends * value[mdp.following]).mean(-1)


def expectile(q: np.ndarray, share: float) -> np.ndarray:
    """The value v [S] with share · Σ max(0, q − v) = (1 − share) · Σ max(0, v − q), of Q [S, A]; by bisection."""
    low, high = q.min(1), q.max(1)
    for _ in range(60):
        middle = (low + high) / 2
        over, under = (np.maximum(sign * (q - middle[:, None]), 0).sum(1) for sign in (1, -1))
        low, high = np.where(share * over > (1 - share) * under, [middle, high], [low, middle])
    return middle


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("bins", [(4,), (2, 2)], ids=str)
def test_iql_learns_the_expectile_of_what_the_data_did_and_bootstraps_from_it(bins, share):
    mdp = random_mdp(5, bins)
    value = np.zeros(len(mdp.rewards))
    for _ in range(200):
        value = expectile(backed_up(mdp, value), share)
    network = replace(ModelConfig(), actor=True)
    settings = replace(PLAIN, method="iql", expectile=share, temperature=1.0, model=network)
    found = trained(ActorTable(len(mdp.rewards), bins), mdp, settings)
    np.testing.assert_allclose(found.value.detach().numpy(), value, atol=CLOSE)
    whole = found.values()[-1].numpy().reshape(len(value), -1)
    np.testing.assert_allclose(whole, backed_up(mdp, value), atol=CLOSE)
    assert np.abs(value - backed_up(mdp, value).max(1)).max() > 5 * CLOSE  # the best action is worth more


def test_cql_ends_below_the_backup_by_what_its_regulariser_asks_for():
    """Of A actions that are taken equally often: Q = y − α (A · softmax Q − 1)."""
    mdp, alpha = random_mdp(6, (4,)), 0.5
    found = trained(Table(len(mdp.rewards), (4,)), mdp, replace(PLAIN, method="cql", alpha=alpha)).values()[0][:, 0]
    backup = backed_up(mdp, found.max(1).values.numpy())
    below = alpha * (4 * found.softmax(1).numpy() - 1)
    np.testing.assert_allclose(found.numpy(), backup - below, atol=CLOSE)
    assert below.max() > 2 * CLOSE
