"""Dynamic programming again: tokens of two levels, dimensions in any order, and a real network instead of a table."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from mdp import best_completions, optimal, random_mdp, windows
from small_run import SMALL
from table import Table, solve, whole_batch

from qtx_ros.learn import contexts
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.learn.trainer import Trainer, to_tensors
from qtx_ros.model.codes import CoarseCode
from qtx_ros.model.order import OrderedCode

CLOSE = 1e-2
PLAIN = TrainConfig(alpha=0.0, monte_carlo=False, value_high=10.0, gamma=0.5)


def test_coarse_tokens_have_the_values_of_their_best_bins():
    mdp, code = random_mdp(8, (6, 4)), CoarseCode((6, 4), base=3)
    batch = whole_batch(windows(mdp, 0.5, 1, depth=1, starts=3))
    batch["bins"] = code.to_tokens(batch["bins"])
    assert code.sizes == (2, 3, 2, 2)
    table, target = Table(3, code.sizes), Table(3, code.sizes)
    solve(table, target, batch, PLAIN)
    expected = best_completions(mdp, optimal(mdp, 0.5), code.sizes)
    assert max(np.abs(a.numpy() - b).max() for a, b in zip(table.values(), expected, strict=True)) < CLOSE


class OrderedTable(Table):
    """Tokens name their dimension; those of other dimensions are absent."""

    def __init__(self, states: int, code: OrderedCode) -> None:
        super().__init__(states, (len(code.bins) * code.widest,) * len(code.bins))
        self.code = code

    def critic_q_values(self, context: torch.Tensor, bins: torch.Tensor) -> list[torch.Tensor]:
        numbers = torch.arange(self.bins[0])
        exists = numbers % self.code.widest < torch.tensor(self.code.bins).repeat_interleave(self.code.widest)
        own = numbers // self.code.widest == (bins // self.code.widest)[..., None]  # [B, D, M]
        return [q.masked_fill(~(own & exists), float("-inf")) for q in super().critic_q_values(context, bins)]


def test_dimensions_in_any_order_have_the_values_of_their_best_completions():
    mdp, code = random_mdp(9, (2, 3)), OrderedCode((2, 3), predicted=False)
    batch = whole_batch(windows(mdp, 0.5, 1, depth=1, starts=3))
    orders = [torch.tensor(order).expand_as(batch["bins"]) for order in itertools.permutations(range(2))]
    tokens = torch.cat([code.join(order, batch["bins"]) for order in orders])
    rows = ("bins", "reward", "discount", "terminal", "returns", "success", "tokens", "here", "after")
    batch = {name: torch.cat([x, x]) if name in rows else x for name, x in batch.items()} | {"bins": tokens}
    table, target = OrderedTable(3, code), OrderedTable(3, code)
    solve(table, target, batch, PLAIN)
    first, second = (q.numpy() for q in table.values())  # [S, 1, 6], [S, 6, 6]
    q = optimal(mdp, 0.5).reshape(3, 2, 3)
    for found, expected in (
        (first[:, 0, :2], q.max(2)),  # dimension 0 first
        (first[:, 0, 3:], q.max(1)),  # dimension 1 first
        (second[:, :2, 3:], q),
        (second[:, 3:, :2], q.transpose(0, 2, 1)),
    ):
        assert np.abs(found - expected).max() < CLOSE


def test_a_real_network_learns_the_values_too():
    mdp = random_mdp(10, (3, 2))
    data = windows(mdp, 0.5, 1, depth=1, starts=3)
    rates = {"learning_rate": 1e-2, "final_learning_rate": 0.01, "warmup_steps": 20, "target_every": 20}
    free = {"weight_decay": 0.0, "clip_norm": 100.0}
    settings = replace(PLAIN, steps=600, model=replace(SMALL, width=32), **rates, **free)
    trainer, batch = Trainer(data.spec, settings, 0), data.batch(np.arange(len(data)))
    trainer.set_statistics(data)
    for _ in range(settings.steps):
        trainer.update(batch)
    tensors, model = to_tensors(batch, trainer.device), trainer.model.eval()
    with torch.no_grad():
        q = model.q_values(contexts.online(model, tensors), tensors["bins"]).numpy()  # [B, 2, 3]
    states = data.state[data.starts, 0].astype(int)
    first, second = best_completions(mdp, optimal(mdp, 0.5))
    assert np.abs(q[:, 0] - first[states, 0]).max() < CLOSE
    assert np.abs(q[:, 1, :2] - second[states, batch["bins"][:, 0]]).max() < CLOSE
