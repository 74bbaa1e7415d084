"""The past of a transition, from the training set through structured dropout to the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from small_run import SMALL, small_config, small_spec, write_small_set

from qtx_ros.data.dataset import Dataset
from qtx_ros.learn.acting import NetworkPolicy
from qtx_ros.learn.forget import forget
from qtx_ros.learn.trainer import Trainer, open_windows

REMEMBERS = replace(SMALL, memory=3, memory_dropout=0.5)


def test_a_batch_holds_the_steps_before_each_state_and_none_from_before_the_episode(tmp_path):
    settings = small_config(model=REMEMBERS, n_step=2)
    windows = open_windows(Dataset.open(write_small_set(tmp_path / "set", small_spec())), settings)
    transitions = np.flatnonzero(np.isin(windows.starts, [11, 15, 19]))  # of the second episode of 10 steps
    batch = windows.batch(transitions)
    expected = [[-1, -1, 10, 11, 12], [12, 13, 14, 15, 16], [16, 17, 18, 19, -1]]
    for row, steps in enumerate(expected):
        known = [step >= 0 for step in steps]
        assert (batch["past_bins"][row] >= 0).all(-1).tolist() == known
        assert (batch["past_bins"][row][known] == windows.bins[[s for s in steps if s >= 0]]).all()
        assert (batch["past_state"][row][known] == windows.state[[s for s in steps if s >= 0]]).all()


def test_whole_runs_are_forgotten_at_the_configured_rate():
    past, generator = torch.zeros(4000, 6, 2, dtype=torch.int64), torch.Generator().manual_seed(0)
    assert forget(past, 0.0, generator) is past
    lost = (forget(past, 0.5, generator) == -1).all(-1)
    assert ((lost.int().diff(dim=1) != 0).sum(1) <= 2).all()  # one run each
    assert 0.38 < lost.any(1).float().mean() < 0.5  # some runs are empty
    assert lost.float().mean(0).min() > 0.1 and lost[:, 0].sum() > lost[:, -1].sum()
    assert lost.all(1).any()


def test_it_trains_and_acts(tmp_path):
    settings, spec = small_config(model=REMEMBERS, n_step=2), small_spec()
    windows = open_windows(Dataset.open(write_small_set(tmp_path / "set", spec)), settings)
    trainer = Trainer(spec, settings, 0)
    losses = [float(trainer.update(next(windows.batches(16, 0, 0, 0)))["loss"]) for _ in range(12)]
    assert losses[-1] < losses[0]
    policy, frames = NetworkPolicy(trainer.model, spec), {"camera0": np.zeros((16, 16, 3), np.uint8)}
    policy.instruct("do it")
    q = [policy.act(frames, np.zeros(2)).q_all for _ in range(5)]
    policy.reset()
    assert (policy.act(frames, np.zeros(2)).q_all == q[0]).all()
    assert not np.allclose(q[0][0], q[1][0], atol=1e-7)  # the same picture and state, but now there is a past
