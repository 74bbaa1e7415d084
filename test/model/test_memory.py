"""The memory of past steps: live it holds what training gave, a reset empties it, and what never was is not seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.guidance import GuidedPolicy
from qtx_ros.model.policy import QTransformer

STEPS = 4
DEEP = replace(SMALL, memory=STEPS, temporal_layers=2)


def build(**changes) -> QTransformer:
    torch.manual_seed(0)
    model = QTransformer(small_spec(), replace(DEEP, **changes)).eval()
    model.set_statistics(torch.zeros(3), torch.ones(3), torch.ones(2), torch.full((2,), 2.0))
    return model


def past(count: int = STEPS):
    """States [1, N, 2] and bins [1, N, 3] of steps."""
    return torch.randn(1, count, 2), torch.stack([torch.randint(0, n, (1, count)) for n in (5, 7, 3)], -1)


@pytest.mark.parametrize("streams", [0, 2])
def test_the_ring_of_a_live_policy_holds_what_training_gives(streams):
    model = build(hyper_streams=streams)
    frames, (state, bins) = torch.randn(1, 8, model.tokens, 16), past(8)
    ring = torch.randn(1, *model.ring_shape)  # whatever it held, the first tick empties it
    for tick in range(8):
        ring = model.push(frames[:, tick], ring, torch.tensor([tick == 0]))
        known = bins[:, max(0, tick - STEPS) : tick], state[:, max(0, tick - STEPS) : tick]
        none = STEPS - known[0].shape[1]
        padded = torch.nn.functional.pad(known[0], (0, 0, none, 0), value=-1)
        window = frames[:, [max(0, tick - 1), tick]]
        expected = model.with_past(window, torch.nn.functional.pad(known[1], (0, 0, none, 0)), padded)
        torch.testing.assert_close(model.context(ring), model.context(expected))
        after = model.store(ring, state[:, tick], bins[:, tick])
        assert model.context(after).equal(model.context(ring))  # this tick's own action is not seen by it
        ring = after


def test_every_step_is_seen_and_those_that_never_were_are_not():
    model, (state, bins) = build(), past()
    frames = torch.randn(1, 2, model.tokens, 16)
    context = model.context(model.with_past(frames, state, bins))
    for step in range(STEPS):
        other, missing = bins.clone(), bins.clone()
        other[0, step, 1] = (bins[0, step, 1] + 1) % 7
        missing[0, step] = -1
        elsewhere = torch.where(torch.arange(STEPS)[:, None] == step, 9.0, state)
        assert (model.context(model.with_past(frames, state, other)) - context).abs().max() > 1e-6
        assert (model.context(model.with_past(frames, elsewhere, bins)) - context).abs().max() > 1e-6
        torch.testing.assert_close(*(model.context(model.with_past(frames, s, missing)) for s in (state, elsewhere)))


def test_a_guided_policy_remembers_under_both_conditions():
    model = build()
    policy, (state, bins) = GuidedPolicy(model, 2.0), past()
    ring, newest = torch.zeros(1, *policy.ring_shape), torch.randn(1, policy.tokens, 16)
    for tick in range(3):
        ring = policy.store(policy.push(newest, ring, torch.tensor([tick == 0])), state[:, tick], bins[:, tick])
    halves = [model.memory.split(half)[1] for half in ring.chunk(2, 2)]
    assert halves[0].equal(halves[1]) and (halves[0] != 0).any(-1).tolist() == [[False, False, True, True, True]]


def test_gradients_reach_every_parameter_of_the_memory():
    model = build().train()
    frames, (state, bins) = torch.randn(8, 2, model.tokens, 16), past(8 * STEPS)
    ring = model.with_past(frames, state.reshape(8, STEPS, 2), bins.reshape(8, STEPS, 3))
    model.context(ring)[:, ::2, 1::3].square().sum().backward()
    assert [n for n, p in model.memory.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"temporal_layers": 0}, "memory is 4 and temporal_layers 0"),
        ({"memory": 0, "memory_dropout": 0.5}, "memory_dropout is 0.5, expected 0 to 1, and 0 without memory"),
    ],
)
def test_a_memory_that_nothing_looks_at_is_refused(changes, sentence):
    with pytest.raises(QtxError, match=sentence):
        replace(DEEP, **changes)
