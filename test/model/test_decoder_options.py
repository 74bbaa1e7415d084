"""Options of the decoder: each walks as it is trained, and none changes the network that asks for none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, assert_each_dimension_sees_the_bins_before_it, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model import heads
from qtx_ros.model.decoder import decode
from qtx_ros.model.policy import QTransformer, smallest

BINS = (5, 9, 3)
VARIANTS = {
    "concat": {"decoder": "concat", "decoder_layers": 2},
    "tied": {"tie_bins": True, "dueling": True},
    "histograms": {"atoms": 12, "dueling": True, "value_range": (-1.0, 2.0)},
    "coarse": {"code": "coarse", "code_base": 4, "dueling": True},
    "coarse histograms, concat": {"code": "coarse", "code_base": 3, "decoder": "concat", "atoms": 8},
    "random order": {"order": "random", "dueling": True},
    "predicted order": {"order": "predicted", "critics": 2},
    "predicted order of histograms": {"order": "predicted", "atoms": 8, "dueling": True, "decoder": "concat"},
}
each_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


def build(bins: tuple[int, ...] = BINS, seed: int = 0, **changes) -> QTransformer:
    torch.manual_seed(seed)
    model = QTransformer(small_spec(bins), replace(SMALL, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # no zeros: dueling and biases act
    return model


def context_of(model: QTransformer, batch: int = 16) -> torch.Tensor:
    return model.context(torch.randn(batch, *model.ring_shape))


def forced_along(model: QTransformer, context: torch.Tensor, choices: torch.Tensor) -> torch.Tensor:
    """Teacher-forced Q [B, K, M] of the choices of a walk, each in the row of its token."""
    if model.config.order == "fixed":
        return model.q_values(context, choices)
    code, count = model.code, len(model.bins)
    order = code.orders[choices[:, 0]] if code.predicted else torch.arange(count).expand(len(choices), count)
    dimensions = torch.cat([torch.full_like(order[:, :1], count), order], 1) if code.predicted else order
    q = model.q_values(context, dimensions * code.widest + choices)
    rows = dimensions[..., None] * code.widest + torch.arange(code.widest)
    return q.gather(-1, rows)


@each_variant
def test_a_walk_gives_the_teacher_forced_values_of_its_own_tokens(changes):
    model = build(**changes)
    context = context_of(model)
    choices, q = decode(model.walks(context), smallest, model.code.places)
    forced = forced_along(model, context, choices)
    first = 1 if model.config.order == "predicted" else 0  # of the orders only the drawn one is there
    torch.testing.assert_close(q[:, first:], forced[:, first:])
    torch.testing.assert_close(model.first_q_values(context).amax(-1), q[:, 0].amax(-1))


@each_variant
def test_what_is_decided_is_the_best_of_its_row_and_returned_with_its_q(changes):
    model = build(**changes)
    bins, q, q_all = model.decode(context_of(model, 64))
    assert q_all.shape == (64, 3, max(BINS)) and torch.isfinite(q_all).sum((0, 2)).tolist() == [64 * n for n in BINS]
    assert torch.equal(q_all.argmax(-1), bins)
    assert torch.equal(q, q_all.amax(-1))
    assert torch.equal(model.to_bins(model.to_tokens(bins)), bins)


@each_variant
def test_the_margin_is_the_closest_decision(changes):
    model = build(**changes)
    context = context_of(model, 64)
    first, second = model.decode(context)[2].topk(2).values.unbind(-1)
    shown = (first - second).amin(1)  # the choice of an order is not shown
    found = model.margin(context)
    if model.config.order == "predicted":
        assert (found <= shown + 1e-6).all() and (found < shown).any()
    else:
        torch.testing.assert_close(found, shown)


def test_concatenated_actions_see_the_context_and_the_bins_before_them_only():
    model = build(decoder="concat", decoder_layers=2)
    context, bins = context_of(model, 1), torch.tensor([[1, 2, 1]])
    assert_each_dimension_sees_the_bins_before_it(model, context, bins)
    model.decoder.start.weight.data.zero_()  # now the context reaches the actions by attention alone
    context = context.detach().requires_grad_()
    model.q_values(context, bins)[:, 0, 0].sum().backward()
    assert (context.grad.abs().sum(-1) > 0).all()


def test_a_tied_head_is_the_embedding_of_its_bins():
    model = build(tie_bins=True)
    critic, context = model.decoder, context_of(model, 2)
    bins = torch.tensor([[1, 2, 1], [4, 8, 2]])
    q = model.q_values(context, bins)
    with torch.no_grad():
        critic.bin_embedding.weight[5 + 7] += 1.0  # bin 7 of the second dimension
    changed = (model.q_values(context, bins) - q).nan_to_num(0).abs() > 1e-6
    assert changed.nonzero().tolist() == [[0, 1, 7], [1, 1, 7]]  # no other bin's Q: nobody took it before
    assert critic.head is None and critic.bin_embedding.num_embeddings == sum(BINS)


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_embedding_enters_the_network_as_large_as_one_of_its_own(tied):
    torch.manual_seed(0)
    critic = QTransformer(small_spec((300, 9, 3)), replace(SMALL, tie_bins=tied)).decoder
    entering = critic.embedded(torch.arange(critic.bin_embedding.num_embeddings))
    torch.testing.assert_close(entering, critic.bin_embedding.weight * (SMALL.width**0.5 if tied else 1))


@pytest.mark.parametrize("atoms", [0, 8])
def test_dueling_is_a_value_and_advantages_less_their_mean(atoms):
    model = build(dueling=True, atoms=atoms)
    critic, x = model.decoder, torch.randn(1, 3, SMALL.width)
    found = critic.outputs(x, 0, critic.present)
    normal = critic.norm(x)[0]
    for place, count in enumerate(BINS):
        columns = []
        for m in range(count):
            columns.append(normal[place] @ critic.head[place, :, m] + critic.head_bias[place, m])
        value = normal[place] @ critic.value_head[place, :, 0]
        by_hand = torch.stack([value + advantage - sum(columns) / count for advantage in columns])
        torch.testing.assert_close(found[0, place, :count], by_hand)


@pytest.mark.parametrize("value", [0.0, 0.013, 0.5, 1.0])
def test_a_smoothed_histogram_has_the_mean_it_was_made_for_at_the_ends_too(value):
    edges, centres = heads.atom_edges(51, (0.0, 1.0)), heads.atom_centres(51, (0.0, 1.0))
    sigma = heads.SIGMA * (edges[1] - edges[0])
    mass = torch.special.ndtr((edges - value) / sigma).diff()
    assert abs((mass / mass.sum() * centres).sum().item() - value) < 1e-3


def test_logits_come_with_the_q_that_is_their_mean():
    model = build(atoms=12, critics=2, value_range=(-1.0, 2.0))
    context, bins = context_of(model, 4), torch.tensor([[1, 2, 1]]).repeat(4, 1)
    assert len(model.atom_edges) == 13 and model.atom_edges[0] < -1 and model.atom_edges[-1] > 2
    for (logits, q), expected in zip(
        model.critic_logits(context, bins), model.critic_q_values(context, bins), strict=True
    ):
        assert logits.shape == (4, 3, 9, 12) and torch.isfinite(logits).all()
        assert torch.equal(q, expected)
        mean = (logits.softmax(-1) * (model.atom_edges[1:] + model.atom_edges[:-1]) / 2).sum(-1)
        torch.testing.assert_close(q[torch.isfinite(q)], mean[torch.isfinite(q)])


def test_one_dimension_needs_no_decoder():
    model = build((6,), decoder="single")
    assert not list(model.decoder.blocks.parameters())
    context = context_of(model)
    bins, _, q_all = model.decode(context)
    assert torch.equal(bins[:, 0], model.first_q_values(context).argmax(-1)) and q_all.shape == (16, 1, 6)


@pytest.mark.parametrize(
    "changes, bins, sentence",
    [
        ({"decoder": "single"}, BINS, "decoder is single, for an action of one token; this robot's has 3"),
        ({"decoder": "single", "code": "coarse"}, (20,), "this robot's has 2"),
        ({"decoder": "rnn"}, BINS, "decoder is 'rnn', expected one of cross, concat, single"),
        ({"order": "random", "code": "coarse"}, BINS, "order random needs code plain"),
        ({"tie_bins": True, "atoms": 8}, BINS, "tie_bins needs a number for each bin, atoms is 8"),
        ({"atoms": 3}, BINS, "atoms is 3, expected 0 or at least 8"),
        ({"atoms": 8, "value_range": (1.0, 1.0)}, BINS, "value_range is"),
        ({"code_base": 1}, BINS, "code_base is 1, expected at least 2"),
        ({"beam": 4, "actor": True}, BINS, "an actor decides by probability"),
    ],
)
def test_options_that_make_no_sense_are_named(changes, bins, sentence):
    with pytest.raises(QtxError, match=sentence):
        build(bins, **changes)
