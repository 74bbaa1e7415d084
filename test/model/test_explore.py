"""Exploration inside the decoder: what is not random is the best bin after the random ones before it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.model.policy import QTransformer


def build(**changes) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(small_spec((5, 7, 3)), replace(SMALL, **changes)).eval()


def same_context(model: QTransformer, batch: int) -> torch.Tensor:
    return model.context(torch.randn(1, *model.ring_shape)).expand(batch, -1, -1)


@pytest.mark.parametrize("changes", [{}, {"code": "coarse", "code_base": 4}, {"order": "predicted"}])
def test_without_noise_it_is_the_greedy_policy(changes):
    model = build(**changes)
    context = model.context(torch.randn(16, *model.ring_shape))
    explored = model.sample(context, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(explored, model.decode(context), strict=True))


@pytest.mark.parametrize("changes", [{}, {"code": "coarse", "code_base": 4}])
def test_random_dimensions_take_every_bin_and_the_others_the_best_after_them(changes):
    model = build(**changes)
    context = same_context(model, 2000)
    random = torch.tensor([[False, True, False]]).expand(2000, 3)
    bins, q, _ = model.sample(context, torch.Generator().manual_seed(0), random=random)
    share = bins[:, 1].bincount(minlength=7) / 2000
    assert (share > 0.08).all() and (share < 0.25).all()  # of 7 bins, uniform within cells
    assert len(bins[:, 0].unique()) == 1
    if not changes:
        forced = model.q_values(context, bins)
        assert torch.equal(bins[:, 2], forced[:, 2].argmax(-1))
        torch.testing.assert_close(q, forced.gather(-1, bins[..., None])[..., 0])


def test_a_temperature_samples_the_softmax_of_q():
    model = build()
    context = same_context(model, 20_000)
    temperature = 0.3
    bins, _, q_all = model.sample(context, torch.Generator().manual_seed(0), temperature)
    expected = (q_all[0, 0, :5] / temperature).softmax(-1)
    found = bins[:, 0].bincount(minlength=5) / 20_000
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
