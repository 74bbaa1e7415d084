"""Guided decisions: Q₀ + scale · (Q − Q₀) per dimension, Q₀ being the Q of the empty instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.guidance import GuidedPolicy, inference
from qtx_ros.model.policy import QTransformer
from qtx_ros.preprocess import text_tokens


def build(critics: int = 1) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(small_spec(), replace(SMALL, critics=critics)).eval()


@torch.no_grad()
def context_of(policy, text: str = "open it", batch: int = 16) -> torch.Tensor:
    """Context of one picture after another, the same for every policy."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (batch * 2, 1, 16, 16, 3), dtype=torch.uint8, generator=generator)
    state = torch.randn(batch * 2, 2, generator=generator)
    features = policy.instruct(torch.as_tensor(text_tokens(text))[None]).expand(batch * 2, -1)
    ring = policy.encode(frames, state, features).unflatten(0, (batch, 2))
    assert ring.shape[1:] == policy.ring_shape and features.shape[1] == policy.feature_size
    return policy.context(ring)


@pytest.mark.parametrize("critics", [1, 2])
def test_scale_one_is_the_plain_policy_bit_for_bit(critics):
    model = build(critics)
    guided = GuidedPolicy(model, 1.0)
    for plain, ours in zip(model.decode(context_of(model)), guided.decode(context_of(guided)), strict=True):
        assert torch.equal(plain, ours)
    assert inference(model) is model


def test_scale_zero_is_the_policy_without_instruction():
    model = build()
    expected = model.decode(context_of(model, ""))
    for text in ("open it", "close it"):
        guided = GuidedPolicy(model, 0.0)
        for a, b in zip(guided.decode(context_of(guided, text)), expected, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("critics", [1, 2])
def test_guided_q_is_the_formula_in_every_dimension(critics):
    model, scale = build(critics), 3.0
    guided = GuidedPolicy(model, scale)
    bins, q, q_all = guided.decode(context_of(guided))
    with_text, without = (model.q_values(context_of(model, text), bins) for text in ("open it", ""))
    present = torch.isfinite(with_text)
    torch.testing.assert_close(q_all[present], (without + scale * (with_text - without))[present])
    assert torch.equal(torch.isfinite(q_all), present)
    assert torch.equal(bins, q_all.argmax(-1)) and torch.equal(q, q_all.amax(-1))
    torch.testing.assert_close(q_all, guided.q_values(context_of(guided), bins))
    assert (q_all - with_text)[present].abs().max() > 1e-3  # scale 3 is not scale 1


def test_the_configured_scale_is_used_and_checked():
    torch.manual_seed(0)
    policy = inference(QTransformer(small_spec(), replace(SMALL, guidance=2.5)))
    assert isinstance(policy, GuidedPolicy) and policy.scale == 2.5
    with pytest.raises(QtxError, match="guidance is -1.0, expected a number of at least 0"):
        replace(SMALL, guidance=-1.0)
