"""From a stored episode to targets: n-step sums, discounts, returns and ends of a chain, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_run import small_config, small_spec, write_small_set

from qtx_ros.data.dataset import Dataset
from qtx_ros.learn import rules
from qtx_ros.learn.trainer import Trainer, open_windows

GAMMA = 0.5


def batch_of(tmp_path, episode: int, **settings):
    """All transitions of one of two episodes of 4 steps: 0 earns 1 at its last step, 1 fails."""
    root = write_small_set(tmp_path / "set", small_spec(), episodes=2, length=4)
    windows = open_windows(Dataset.open(root), small_config(gamma=GAMMA, **settings))
    return windows.batch(np.arange(len(windows))[episode * 4 : episode * 4 + 4])


def last_targets(batch, next_value: float):
    """Target of the last dimension of each transition, when every next state is worth `next_value`."""
    numbers = (torch.as_tensor(batch[name]) for name in ("reward", "discount", "terminal"))
    count = len(batch["reward"])
    return rules.bellman_targets(torch.zeros(count, 3, 7), torch.full((count,), next_value), *numbers)[:, -1].tolist()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [0.5 * 0.8, 0.5 * 0.8, 0.5 * 0.8, 1.0]),
        (2, [0.25 * 0.8, 0.25 * 0.8, 0.5 * 1.0, 1.0]),
        (3, [0.125 * 0.8, 0.25 * 1.0, 0.5 * 1.0, 1.0]),
    ],
)
def test_n_step_targets_equal_the_hand_sum(tmp_path, steps, expected):
    assert last_targets(batch_of(tmp_path, 0, n_step=steps), next_value=0.8) == pytest.approx(expected)


def test_return_to_go_belongs_to_its_transition(tmp_path):
    assert batch_of(tmp_path, 0)["returns"].tolist() == [0.125, 0.25, 0.5, 1.0]
    assert batch_of(tmp_path, 1)["returns"].tolist() == [0.0] * 4


def test_a_failed_end_is_worth_nothing_or_unknown(tmp_path):
    assert last_targets(batch_of(tmp_path, 1), next_value=0.8) == pytest.approx([0.4, 0.4, 0.4, 0.0])
    cut = batch_of(tmp_path, 1, truncation_is_failure=False)
    assert len(cut["reward"]) == 3 and not cut["terminal"].any()


def test_targets_respect_the_monte_carlo_bound_and_the_range(tmp_path):
    from qtx_ros.learn.methods_q import backups
    from qtx_ros.learn.trainer import to_tensors

    settings = small_config(gamma=GAMMA, value_high=0.9)
    batch = batch_of(tmp_path, 0)
    trainer = Trainer(small_spec(), settings, 0)
    tensors = to_tensors(batch, trainer.device)
    targets = backups(trainer.target, tensors, settings).targets
    assert (targets >= tensors["returns"].clamp(max=0.9)[:, None]).all() and targets.max() <= 0.9


def test_a_stored_frame_takes_the_bytes_of_its_pixels_once(tmp_path):
    root = write_small_set(tmp_path / "set", small_spec(), episodes=3, length=50)
    frames = sum(path.stat().st_size for path in root.rglob("frames_*.bin"))
    assert frames / (3 * 50) == 16 * 16 * 3


def test_batches_are_the_same_from_memory_and_from_disk(tmp_path):
    cached, read = (batch_of(tmp_path, 0, cache_mb=size) for size in (100, 0))
    assert all(np.array_equal(cached[name], read[name]) for name in cached)
