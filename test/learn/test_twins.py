"""Q-learning with twin critics: one target, the smaller Q's; each critic learns it in its own way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import SMALL, small_config, small_spec, write_small_set

from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.learn import contexts, methods_q, rules
from qtx_ros.learn.trainer import Trainer, open_windows, to_tensors

TWINS = replace(SMALL, critics=2)


@pytest.fixture
def twins(tmp_path):
    """A trainer with twins and a batch of 8 transitions."""
    free = {"monte_carlo": False, "value_low": -9.0, "value_high": 9.0, "alpha": 0.0, "shift": 0}  # targets alone
    settings = small_config(model=TWINS, steps=100, learning_rate=3e-3, **free)
    windows = open_windows(Dataset.open(write_small_set(tmp_path / "set", small_spec())), settings)
    return Trainer(windows.spec, settings, 0), windows.batch(np.arange(8))


def test_target_is_the_hand_computed_minimum_of_the_two_target_critics(twins):
    trainer, arrays = twins
    target, batch = trainer.target, to_tensors(arrays, trainer.device)
    with torch.no_grad():
        here, after = contexts.target(target, batch)
        a, b = (critic.q_values(here, batch["bins"][:, :2]) for critic in target.critics)
        c, d = (critic.q_values(after, batch["bins"][:, :2])[:, 0] for critic in target.critics)
    expected = torch.zeros(8, 3)
    for k in range(8):
        for i in (0, 1):
            expected[k, i] = max(min(x, y) for x, y in zip(a[k, i + 1].tolist(), b[k, i + 1].tolist(), strict=True))
        best = max(min(x, y) for x, y in zip(c[k].tolist(), d[k].tolist(), strict=True))
        expected[k, 2] = batch["reward"][k] + batch["discount"][k] * (1 - batch["terminal"][k]) * best
    torch.testing.assert_close(methods_q.backups(target, batch, trainer.config).targets, expected)
    alone = a[:, 1:].amax(-1), b[:, 1:].amax(-1)
    assert all((expected[:, :2] <= one).all() and not torch.equal(expected[:, :2], one) for one in alone)


def test_twins_get_gradients_of_their_own_and_stay_different(twins):
    trainer, batch = twins
    model = trainer.model
    trainer.loss(trainer.prepare(batch))[0].backward()
    first, second = ([p.grad for p in critic.parameters()] for critic in model.critics)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True) if a.any() or b.any())
    for _ in range(20):
        trainer.update(batch)
    for network in (model, trainer.target):
        assert not torch.equal(network.decoder.head, network.twin.head)


def test_each_twin_learns_the_target(twins):
    trainer, batch = twins

    def losses() -> list[float]:
        model, tensors = trainer.model.eval(), to_tensors(batch, trainer.device)
        with torch.no_grad():
            targets = methods_q.backups(trainer.target, tensors, trainer.config).targets
            critics = model.critic_q_values(contexts.online(model, tensors), tensors["bins"])
        return [rules.temporal_difference_loss(q, tensors["bins"], targets).item() for q in critics]

    before = losses()
    for _ in range(60):
        trainer.update(batch)
    assert all(after < 0.5 * start for after, start in zip(losses(), before, strict=True))


def test_imitation_with_twins_is_refused():
    with pytest.raises(QtxError, match="critics is 2, expected 1: method bc has no values"):
        small_config(method="bc", model=TWINS)
