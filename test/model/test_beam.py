"""Beam search: the best whole action that it can find, never a worse one than the greedy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import SMALL, small_spec

from qtx_ros.model.beam import margin, search
from qtx_ros.model.codes import taken
from qtx_ros.model.decoder import decode
from qtx_ros.model.guidance import GuidedPolicy
from qtx_ros.model.policy import QTransformer, smallest

VARIANTS = (
    {},
    {"critics": 2, "decoder": "concat"},
    {"code": "coarse", "code_base": 2},
    {"order": "predicted"},
    {"atoms": 8, "dueling": True},
)

ROBOTS = (5, 3, 4), (3, 7), (6,)


def build(bins: tuple[int, ...] = (5, 5, 5), seed: int = 0, **changes) -> QTransformer:
    torch.manual_seed(seed)
    model = QTransformer(small_spec(bins), replace(SMALL, **changes)).eval()
    with torch.no_grad():  # what comes later depends on what came before, so greedy is often wrong
        model.decoder.bin_embedding.weight.mul_(3)
        model.decoder.head.mul_(3)
    return model


def with_beam(model: QTransformer, beam: int) -> QTransformer:
    model.config = replace(model.config, beam=beam)
    return model


@torch.no_grad()
def context_of(model: QTransformer, batch: int = 8) -> torch.Tensor:
    return model.context(torch.randn(batch, *model.ring_shape))


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"critics": 2, "decoder": "concat"}, {"order": "random"}])
def test_a_wide_beam_finds_what_trying_every_action_finds(changes):
    model = with_beam(build(**changes), 25)
    context = context_of(model)
    bins, q, q_all = model.decode(context)
    every = torch.tensor(list(itertools.product(range(5), repeat=3)))  # [125, 3]
    tokens = every + torch.arange(3) * 5 if changes.get("order") else every
    for row in range(8):
        all_q = model.q_values(context[row : row + 1].expand(125, -1, -1), tokens)
        values = all_q[:, 2].gather(-1, tokens[:, 2:])[:, 0]
        assert bins[row].tolist() == every[values.argmax()].tolist()
        assert q[row, 2].item() == pytest.approx(values.max().item(), abs=1e-5)
        if not changes.get("order"):
            torch.testing.assert_close(q_all[row], all_q[values.argmax()])
    greedy = with_beam(model, 1).decode(context)[0]
    assert not torch.equal(greedy, bins)


@torch.no_grad()
@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 12), st.sampled_from(VARIANTS), st.sampled_from(ROBOTS))
def test_a_beam_is_never_below_greedy(seed, beam, changes, bins):
    model = build(bins, seed, **changes)
    context = context_of(model, 3)
    greedy = decode(model.walks(context), smallest, model.code.places)
    found = search(model.walks(context), smallest, model.code.places, beam)
    worth = [taken(q, choices)[:, -1] for choices, q in (found, greedy)]
    assert (worth[0] >= worth[1] - 1e-5).all() and torch.isfinite(worth[0]).all()
    assert (model.code.decision(*found)[0] < torch.tensor(bins)).all()


@torch.no_grad()
def test_a_guided_policy_searches_on_its_guided_q():
    model = build()
    context = torch.cat([context_of(model), context_of(model)], 1)
    greedy = GuidedPolicy(model, 2.0).decode(context)
    guided = GuidedPolicy(with_beam(model, 25), 2.0)
    bins, q, _ = guided.decode(context)
    assert (q[:, -1] >= greedy[1][:, -1]).all() and (q[:, -1] > greedy[1][:, -1] + 1e-3).any()
    forced = guided.q_values(context, bins).gather(-1, bins[..., None])[..., 0]
    torch.testing.assert_close(q, forced)


@torch.no_grad()
def test_a_margin_says_how_far_the_decision_is_from_another_one():
    model = build((3, 3))
    context = context_of(model, 1)
    every = torch.tensor(list(itertools.product(range(3), repeat=2)))
    q = model.q_values(context.expand(9, -1, -1), every)
    first, final = q[0, 0].sort().values, q[:, 1].gather(-1, every[:, 1:]).flatten().sort().values
    found = margin(model.code, model.walks(context), smallest, 9)  # no prefix is left out
    assert found.item() == pytest.approx(min(first[-1] - first[-2], final[-1] - final[-2]).item(), abs=1e-6)
