"""Twin critics: independent from the start, and together they decide by the smaller Q."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.policy import QTransformer


def build(critics: int = 2) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(small_spec(), replace(SMALL, critics=critics)).eval()


def ring(model: QTransformer, batch: int = 16) -> torch.Tensor:
    return torch.randn(batch, *model.ring_shape, generator=torch.Generator().manual_seed(1))


def test_twins_start_with_weights_of_their_own():
    first, second = (dict(critic.named_parameters()) for critic in build().critics)
    assert first.keys() == second.keys()
    for name, weights in first.items():
        drawn = weights.std() > 0  # the others are the constants of norms and biases
        assert weights is not second[name]
        assert torch.equal(weights, second[name]) != bool(drawn), name


def test_a_twin_changes_nothing_else():
    one, two = build(1).state_dict(), build(2).state_dict()
    assert set(two) - set(one) == {f"twin.{name}" for name in build().decoder.state_dict()}
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_twins_decide_by_the_smaller_q_and_return_it():
    model = build()
    context = model.context(ring(model))
    bins, q, q_all = model.decode(context)
    forced = torch.stack(model.critic_q_values(context, bins)).amin(0)  # [B, D, M] along the decided bins
    torch.testing.assert_close(q_all, forced)
    assert torch.equal(bins, forced.argmax(-1))
    assert torch.equal(q, q_all.amax(-1))
    torch.testing.assert_close(model.first_q_values(context), forced[:, 0])
    alone = [critic.q_values(context, bins[:, :2]).argmax(-1) for critic in model.critics]
    assert not any(torch.equal(bins, other) for other in alone)  # both have a say


def test_other_numbers_of_critics_are_named():
    with pytest.raises(QtxError, match="critics is 0, expected at least 1"):
        replace(SMALL, critics=0)


def test_more_critics_leave_the_first_two_as_they_are():
    two, four = build(2), build(4).state_dict()
    assert all(torch.equal(four[name], value) for name, value in two.state_dict().items())
    assert len(build(4).critics) == 4 and not torch.equal(four["others.0.head"], four["others.1.head"])
