"""What a configuration adds to a method: terms of the loss, the target network's pace, the pull to the start."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from mdp import random_mdp, windows
from small_run import PARTS, SMALL, small_config, small_spec, write_small_set
from table import Table

from qtx_ros.data.dataset import Dataset
from qtx_ros.learn import checkpoint, export, rules_regularise
from qtx_ros.learn.methods_q import backups, q_learning
from qtx_ros.learn.parity import compare
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.learn.trainer import Trainer, open_windows, to_tensors
from qtx_ros.model.guidance import inference

ATOMS = {"atoms": 21}
OPTIONS = {
    "hl_gauss": {"loss": "hl_gauss", "model": ATOMS},
    "hl_gauss, smooth, twins": {"loss": "hl_gauss", "smooth": 0.3, "model": {**ATOMS, "critics": 2}},
    "smooth": {"smooth": 0.3},
    "softmax": {"conservative": "softmax", "alpha": 0.1},
    "margin": {"margin": 0.2, "margin_weight": 0.5},
    "consistency": {"consistency": 0.5, "model": {"critics": 2}},
    "regenerative": {"regenerative": 1e-3},
    "coarse": {"smooth": 0.3, "consistency": 0.5, "model": {"code": "coarse", "code_base": 2}},
    "random order": {"margin_weight": 0.5, "smooth": 0.3, "consistency": 0.5, "model": {"order": "random"}},
    "predicted order": {"loss": "hl_gauss", "consistency": 0.5, "model": {**ATOMS, "order": "predicted"}},
    "cql": {"method": "cql", "alpha": 0.1},
    "gap": {"conservative": "gap", "gap": 0.1, "alpha": 4.0},
    "gap, smooth, no bound": {"conservative": "gap", "smooth": 0.3, "monte_carlo": False},
    "two steps": {"n_step": 2},
    "tighten": {"n_step": 2, "tighten": True},
    "tighten, completion, twins": {"n_step": 2, "tighten": True, "completion": True, "model": {"critics": 2}},
    "completion": {"completion": True},
    "completion, histograms": {"completion": True, "loss": "hl_gauss", "atom_sigma": 1.5, "model": ATOMS},
    "target_every": {"target_every": 5},
    "state_noise": {"state_noise": 0.05},
    "bin_noise": {"bin_noise": 0.1},
}
FROM_PICTURES = {
    "colour": {"shift": 0, "colour": 0.3},
    "shift and text_drop": {"shift": 2, "text_drop": 0.3},
    "memory": {"model": {"memory": 3, "memory_dropout": 0.5}},
    "iql": {"method": "iql", "expectile": 0.6, "temperature": 1.0, "model": PARTS["iql"]},
    "chunk": {"chunk": 4, "n_step": 2, "tighten": True},
}


def trainer_of(steps: int, **changes) -> tuple[Trainer, dict[str, np.ndarray]]:
    """A trainer on a random MDP and all its transitions, some of them if there are many."""
    network, n_step = replace(SMALL, **changes.pop("model", {})), changes.get("n_step", 1)
    settings = small_config(steps=steps, learning_rate=3e-3, model=network, **changes)
    bins = (5, 3) if n_step == 1 else (2, 3)
    data = windows(random_mdp(0, bins), 0.9, n_step, depth=n_step, starts=3, near=settings.tighten)
    trainer = Trainer(data.spec, settings, 0)
    trainer.set_statistics(data)
    return trainer, data.batch(np.arange(0, len(data), -(-len(data) // 100)))


@pytest.mark.parametrize("name", list(OPTIONS))
def test_every_option_learns(name):
    trainer, batch = trainer_of(40, **OPTIONS[name])
    losses = [trainer.update(batch)["loss"].item() for _ in range(40)]
    assert np.isfinite(losses).all() and losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", list(FROM_PICTURES))
def test_every_option_of_pictures_text_and_memory_learns(name, tmp_path):
    changes = dict(FROM_PICTURES[name])
    network = replace(SMALL, **changes.pop("model", {}))
    settings = small_config(steps=60, learning_rate=3e-3, clip_norm=100.0, model=network, **changes)
    data = open_windows(Dataset.open(write_small_set(tmp_path / "set", small_spec())), settings)
    trainer, batch = Trainer(data.spec, settings, 0), data.batch(np.arange(8))
    losses = [trainer.update(batch)["loss"].item() for _ in range(60)]
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]


def test_no_option_of_the_loss_is_left_out():
    """Of the keys that a loss may read: those of the optimiser and of the machine are not."""
    changed = {key for changes in (*OPTIONS.values(), *FROM_PICTURES.values()) for key in changes}
    elsewhere = {"rebuild", "search"}  # tests in files of their own
    keys = [field.name for field in fields(TrainConfig)]
    first, last = keys.index("n_step"), keys.index("threads")
    numbers = {"truncation_is_failure", "value_low", "value_high", "target_rate"}  # of all of the tests
    assert set(keys[first:last]) - changed - elsewhere - numbers == set()


def test_consistency_by_hand():
    mdp = random_mdp(0, (2, 2), states=1, ending=0.5)
    data = windows(mdp, 0.9, 1, depth=1, starts=1)
    batch = to_tensors(data.batch(np.arange(len(data))), torch.device("cpu"))
    model, target = Table(1, (2, 2)), Table(1, (2, 2))
    with torch.no_grad():
        for table, first, second in ((target, [1.0, 0.0], [1.0, 0.0]), (model, [0.1, 0.4], [0.2, 0.7])):
            table.tables[0][0][:], table.tables[0][1][:] = torch.tensor(first), torch.tensor(second)
    found = backups(target, batch, small_config())
    assert found.assumed.tolist() == [[0, 0]] * len(data)
    _, metrics = q_learning(model, target, batch, small_config(consistency=1.0))
    alive, count = int((batch["terminal"] == 0).sum()), len(data)
    assert 0 < alive < count  # bin 1 leads by 0.5 in dimension 2 everywhere, by 0.3 at every s′ that is no end
    assert metrics["consistency"].item() == pytest.approx((0.5 * count + 0.3 * alive) / (2 * count))


def test_consistency_says_nothing_where_a_bound_took_the_place_of_a_bins_value():
    mdp = random_mdp(0, (2, 2), states=1, ending=0.5)
    data = windows(mdp, 0.9, 1, depth=1, starts=1)
    batch = to_tensors(data.batch(np.arange(len(data))), torch.device("cpu"))
    low = Table(1, (2, 2))
    with torch.no_grad():
        for table in low.tables[0]:
            table[:] = -1.0  # every return is more
    alive = batch["terminal"] == 0
    assert backups(low, batch, small_config(monte_carlo=False)).rests[:, 1].tolist() == alive.tolist()
    assert not backups(low, batch, small_config()).rests[:, 0].any()


def test_the_target_network_is_copied_now_and_then():
    trainer, batch = trainer_of(4, target_every=2)
    start = [p.clone() for p in trainer.target.parameters()]

    def equal(others) -> bool:
        return all(torch.equal(a, b) for a, b in zip(trainer.target.parameters(), others, strict=True))

    for same in (True, False, False):
        trainer.update(batch)
        assert equal(start) == same
        assert equal(trainer.model.parameters()) == (trainer.step == 2)


def test_the_initial_weights_pull_and_survive_a_resumption(tmp_path):
    trainer, batch = trainer_of(6, regenerative=0.5)
    start = [p.detach().clone() for p in trainer.model.parameters()]
    for _ in range(3):
        trainer.update(batch)
    distance = rules_regularise.regenerative_loss(trainer.model.parameters(), start).item()
    trainer.save(tmp_path)
    resumed, _ = trainer_of(6, regenerative=0.5)
    resumed.load(tmp_path)
    assert resumed.update(batch)["regenerative"].item() == pytest.approx(distance, rel=1e-5) and distance > 0
    assert checkpoint.load_checkpoint(tmp_path)[0]["initial"].keys() == dict(trainer.model.named_parameters()).keys()
    free, _ = trainer_of(6)
    for _ in range(3):
        free.update(batch)
    assert distance < rules_regularise.regenerative_loss(free.model.parameters(), start).item()


@pytest.mark.parametrize("method", ["iql", "dt"])
def test_what_decides_is_exported(tmp_path, method):
    trainer, batch = trainer_of(2, method=method, model=PARTS[method])
    trainer.update(batch)
    model, spec = inference(trainer.model).eval(), trainer.spec
    export.write_graphs(model, spec, tmp_path)
    found = compare(model, spec, tmp_path, [""], count=64)
    found.check()
    assert found.observations == 64 and found.largest_q_difference < 1e-4
