"""Dimensions in another order: each sample has its own, and is told which dimension comes next."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.learn import rules
from qtx_ros.model.policy import QTransformer

BINS = (5, 7, 3)


def build(order: str, **changes) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(small_spec(BINS), replace(SMALL, order=order, **changes)).eval()


def random_bins(batch: int) -> torch.Tensor:
    return torch.stack([torch.randint(0, n, (batch,)) for n in BINS], 1)


@pytest.mark.parametrize("order, count", [("random", 6), ("predicted", 3)])
def test_each_sample_has_an_order_of_its_own_that_the_generator_decides(order, count):
    code, bins = build(order).code, random_bins(200)
    tokens = code.to_tokens(bins, torch.Generator().manual_seed(1))
    assert torch.equal(code.to_bins(tokens), bins)
    assert torch.equal(tokens, code.to_tokens(bins, torch.Generator().manual_seed(1)))
    assert not torch.equal(tokens, code.to_tokens(bins, torch.Generator().manual_seed(2)))
    orders, drawn = (tokens // code.widest).unique(dim=0, return_counts=True)
    assert len(orders) == count and drawn.min() > 200 / count / 2


@pytest.mark.parametrize("order", ["random", "predicted"])
def test_a_token_has_the_bins_of_its_dimension_and_depends_on_those_before_it(order):
    model = build(order)
    context = model.context(torch.randn(1, *model.ring_shape))
    natural = torch.tensor([[2, 0, 1]])  # dimension at each place
    bins = torch.tensor([[1, 2, 1]])
    tokens = model.code.join(natural, bins)
    if order == "predicted":
        tokens = torch.cat([torch.tensor([[3 * 7 + 2]]), tokens], 1)
    q = model.q_values(context, tokens)
    places = [3, 2, 0, 1] if order == "predicted" else [2, 0, 1]
    for place, dimension in enumerate(places):
        there = torch.isfinite(q[0, place]).nonzero().flatten().tolist()
        count = (*BINS, 3)[dimension]
        drawn = place == 0 and order == "predicted"  # orders that were not drawn are no unseen actions
        assert there == ([23] if drawn else [dimension * 7 + m for m in range(count)])
    for changed in range(len(places) - 3, len(places)):
        other = tokens.clone()
        other[0, changed] -= 1
        moved = (model.q_values(context, other) - q).nan_to_num(0).abs().amax(-1)[0] > 1e-6
        assert moved.tolist() == [place > changed for place in range(len(places))]


def test_the_natural_order_is_what_the_policy_decides_in():
    model = build("random")
    context = model.context(torch.randn(8, *model.ring_shape))
    bins, _, q_all = model.decode(context)
    q = model.q_values(context, bins + torch.arange(3) * 7)
    for d, count in enumerate(BINS):
        torch.testing.assert_close(q_all[:, d, :count], q[:, d, d * 7 : d * 7 + count])


@pytest.mark.parametrize("order", ["random", "predicted"])
def test_the_backup_follows_the_order_of_the_sample(order):
    model = build(order)
    context, bins = model.context(torch.randn(4, *model.ring_shape)), random_bins(4)
    tokens = model.to_tokens(bins, torch.Generator().manual_seed(0))
    q = model.q_values(context, tokens)
    reward, nothing = torch.rand(4), torch.zeros(4)
    targets = rules.bellman_targets(q, nothing, reward, nothing, nothing)
    for row in range(4):
        for place in range(1, tokens.shape[1]):
            d = (tokens[row, place] // 7).item()
            assert targets[row, place - 1] == q[row, place, d * 7 : d * 7 + BINS[d]].max()
    assert torch.equal(targets[:, -1], reward)
    loss = rules.temporal_difference_loss(q, tokens, targets.detach()) + rules.conservative_loss(q, tokens)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.decoder.parameters())
    assert model.decoder.head.grad.abs().sum((1, 2)).gt(0).all()  # of the orders' head too


def test_the_order_with_the_highest_value_is_taken():
    model = build("predicted")
    context = model.context(torch.randn(6, *model.ring_shape))
    for chosen in range(3):
        with torch.no_grad():
            model.decoder.head_bias[3] = 10.0 * torch.eye(7)[chosen]
        bins, q, q_all = model.decode(context)
        order = model.code.orders[chosen].expand(6, 3)
        tokens = torch.cat([torch.full((6, 1), 3 * 7 + chosen), model.code.join(order, bins)], 1)
        forced = model.q_values(context, tokens)
        assert (model.first_q_values(context).argmax(-1) == 3 * 7 + chosen).all()
        for place, d in enumerate(order[0].tolist()):
            row = forced[:, place + 1, d * 7 : d * 7 + BINS[d]]
            torch.testing.assert_close(q_all[:, d, : BINS[d]], row)
            assert torch.equal(bins[:, d], row.argmax(-1))
