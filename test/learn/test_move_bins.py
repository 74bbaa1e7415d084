"""Taken bins that are moved a little: by how much, within their range, anew in every step, and not on the way out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import SMALL, small_config, small_spec, write_small_set

from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.learn.augment import move_bins
from qtx_ros.learn.trainer import Trainer, open_windows

COUNTS = (201, 5, 2)


def moved(bins: list[int], share: float) -> torch.Tensor:
    """20,000 times the same bins [20000, 3], each moved."""
    return move_bins(torch.tensor(bins).expand(20000, 3), COUNTS, share, torch.Generator().manual_seed(0))


def test_the_spread_is_a_share_of_each_dimensions_bins():
    found = moved([100, 2, 0], 0.05)
    assert found.dtype == torch.int64 and found[:, 0].float().mean().item() == pytest.approx(100, abs=0.3)
    assert found[:, 0].float().std().item() == pytest.approx(0.05 * 201, rel=0.03)
    assert (found[:, 1] != 2).float().mean().item() == pytest.approx(0.0455, abs=0.01)  # beyond ½ = 2 σ of 0.25 bins
    assert (found[:, 2] == 0).all()  # ½ is 5 σ: two bins stay what they are


def test_bins_stay_within_their_dimension():
    for ends in ([0, 0, 0], [200, 4, 1]):
        found = moved(ends, 0.5)
        assert found.amin(0).tolist() == [0, 0, 0] and found.amax(0).tolist() == [200, 4, 1]


def test_no_noise_changes_nothing():
    bins = torch.tensor([[3, 1, 0]])
    assert move_bins(bins, COUNTS, 0.0, torch.Generator()) is bins


def prepared(tmp_path, **changes) -> tuple[Trainer, dict[str, np.ndarray]]:
    settings = small_config(**changes)
    windows = open_windows(Dataset.open(write_small_set(tmp_path / "set", small_spec((64, 7, 3)))), settings)
    return Trainer(windows.spec, settings, 0), windows.batch(np.arange(16))


@pytest.mark.parametrize("code", ["plain", "coarse"])
def test_a_step_moves_what_methods_call_taken_and_another_step_moves_it_elsewhere(tmp_path, code):
    trainer, batch = prepared(tmp_path, bin_noise=0.1, model=replace(SMALL, code=code, code_base=8))
    first = trainer.model.to_bins(trainer.prepare(batch)["bins"])
    assert torch.equal(first, trainer.model.to_bins(trainer.prepare(batch)["bins"]))  # a step and a seed decide
    away = (first - torch.as_tensor(batch["bins"])).abs()
    assert 2 < away[:, 0].float().mean() < 10
    trainer.step += 1
    assert not torch.equal(first, trainer.model.to_bins(trainer.prepare(batch)["bins"]))
    still, _ = prepared(tmp_path, model=replace(SMALL, code=code, code_base=8))
    assert torch.equal(still.model.to_bins(still.prepare(batch)["bins"]), torch.as_tensor(batch["bins"]))


def test_noise_below_zero_is_refused():
    with pytest.raises(QtxError, match="bin_noise is -0.1, expected at least 0"):
        small_config(bin_noise=-0.1)
