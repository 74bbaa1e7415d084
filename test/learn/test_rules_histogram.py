"""HL-Gauss against numbers from the normal distribution's table, and back to values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from table import Table
from torch import tensor

from qtx_ros.learn import rules_histogram as rules
from qtx_ros.learn.losses import value_losses
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.config import ModelConfig
from qtx_ros.model.heads import expected

EDGES = torch.linspace(-0.5, 1.5, 5, dtype=torch.float64)  # four atoms of width 0.5, centres −0.25, 0.25, 0.75, 1.25


def phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def test_histogram_by_hand():
    # y = 0.5 lies on an edge, σ = 0.5: the edges are at −2, −1, 0, 1, 2 standard deviations
    inner, whole = phi(1) - phi(0), phi(2) - phi(-2)
    outer = phi(2) - phi(1)
    found = rules.histogram(tensor(0.5, dtype=torch.float64), EDGES, sigma=1.0)
    assert found.tolist() == pytest.approx([outer / whole, inner / whole, inner / whole, outer / whole])


def test_a_histogram_at_the_end_of_the_support_is_cut_off_and_still_adds_up_to_one():
    found = rules.histogram(tensor([-0.5, 1.5], dtype=torch.float64), EDGES, sigma=0.75)
    assert found.sum(-1).tolist() == pytest.approx([1.0, 1.0])
    assert found[0].argmax() == 0 and found[1].argmax() == 3


@given(st.floats(0.0, 1.0), st.integers(21, 101))
def test_a_value_comes_back_from_its_histogram(value, atoms):
    width = 1 / (atoms - 8)  # a margin of four atoms on each side of [0, 1]
    edges = torch.linspace(-4 * width, 1 + 4 * width, atoms + 1, dtype=torch.float64)
    logits = rules.histogram(tensor(value, dtype=torch.float64), edges, 0.75).clamp(min=1e-300).log()
    assert expected(logits, (edges[1:] + edges[:-1]) / 2).item() == pytest.approx(value, abs=1e-3 * width)


def test_cross_entropy_by_hand():
    logits = torch.zeros(1, 1, 2, 4, dtype=torch.float64)
    logits[0, 0, 1, 0] = math.log(3)  # probabilities ½, ⅙, ⅙, ⅙
    value = tensor([[0.5]], dtype=torch.float64)
    p = rules.histogram(value, EDGES, 1.0)[0, 0, 0].item()
    found = rules.histogram_errors(logits, value, EDGES, 1.0)
    assert found[0, 0].tolist() == pytest.approx([math.log(4), p * math.log(2) + (1 - p) * math.log(6)])


def test_the_error_is_smallest_where_the_logits_hold_the_target():
    value = tensor([[0.3]], dtype=torch.float64)
    logits = rules.histogram(value, EDGES, 0.75).log()[:, :, None].requires_grad_()
    rules.histogram_errors(logits, value, EDGES, 0.75).sum().backward()
    assert logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("sigma", [0.5, 0.75, 2.0])
def test_the_loss_has_histograms_as_wide_as_the_settings_say(sigma):
    """Where logits are the target's own histogram the cross-entropy is its entropy, for that width only."""
    table, bins, target = Table(1, (1,), atoms=12), torch.zeros(1, 1, dtype=torch.int64), tensor([[0.4]]).double()
    settings = TrainConfig(loss="hl_gauss", atom_sigma=sigma, model=ModelConfig(atoms=12))
    wanted = rules.histogram(target[0, 0], table.atom_edges, sigma)
    with torch.no_grad():
        table.tables[0][0][:] = logits = wanted.clamp(min=1e-30).log()
    _, td, _ = value_losses(table, torch.zeros(1, 1, 1), bins, target, settings)
    assert td.item() == pytest.approx(-(wanted * logits).sum().item(), rel=1e-6)
