"""The MaxViT encoder: shapes, windows and grids, rotary offsets, independence of the images of a batch, its size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros import config
from qtx_ros.errors import QtxError
from qtx_ros.model.maxvit import (
    MaxViTConfig,
    MaxViTEncoder,
    RmsNorm,
    TokenLearner,
    WindowAttention,
    merge,
    partition,
    rotate,
    rotation,
)
from qtx_ros.model.policy import ModelConfig, QTransformer

TINY = MaxViTConfig(dim=4, depth=(1, 2), heads=2, head_width=4, window=2, expansion=2, tokens=3)  # images of n · 16 px


def encoder(**changes) -> MaxViTEncoder:
    torch.manual_seed(0)
    return MaxViTEncoder((32, 48), 2, replace(TINY, **changes), 16).eval()


def observation(model: MaxViTEncoder, batch: int = 3, cameras: int = 1):
    frames = torch.randint(0, 256, (batch, cameras, 32, 48, 3), dtype=torch.uint8)
    return frames, torch.randn(batch, 2), torch.randn(batch, model.film_size)


@pytest.mark.parametrize("cameras", [1, 2])
def test_every_camera_gives_its_learned_tokens_and_the_state_one(cameras):
    model = encoder()
    assert model.tokens(cameras) == 3 * cameras + 1
    assert model(*observation(model, cameras=cameras)).shape == (3, 3 * cameras + 1, 16)


def test_cameras_are_encoded_one_by_one():
    model = encoder()
    frames, state, film = observation(model, cameras=2)
    both = model(frames, state, film)
    for camera, tokens in enumerate((both[:, :3], both[:, 3:6])):
        torch.testing.assert_close(model(frames[:, [camera]], state, film)[:, :3], tokens)


@pytest.mark.parametrize("norm", ["rms", "batch"])
def test_gradients_reach_every_parameter(norm):
    model = encoder(norm=norm).train()
    model(*observation(model)).square().sum().backward()
    flat = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # a batch norm takes away what the bias before it adds
    before_a_norm = ("expand.bias", "depthwise.bias", "project.bias") if norm == "batch" else ()
    assert [name for name in flat if not name.endswith(before_a_norm)] == []


def test_without_batch_norm_no_image_depends_on_another():
    model, batched = encoder().train(), encoder(norm="batch").train()
    inputs = observation(model)
    alone = [part[:1] for part in inputs]
    torch.testing.assert_close(model(*inputs)[:1], model(*alone))
    assert not torch.allclose(batched(*inputs)[:1], batched(*alone), atol=1e-3)


def test_batch_norm_keeps_its_statistics_for_the_robot():
    model = encoder(norm="batch").train()
    inputs = observation(model)
    model(*inputs)
    model.eval()
    torch.testing.assert_close(model(*inputs)[:1], model(*[part[:1] for part in inputs]))


@pytest.mark.parametrize("grid", [False, True])
def test_merge_undoes_partition(grid):
    x = torch.randn(2, 6, 9, 4 * 5)
    parts = partition(x, 4, 3, grid)
    assert parts.shape == (2 * 2 * 3, 4, 9, 5)
    assert torch.equal(merge(parts, (6, 9), 3, grid).flatten(3), x)


def test_windows_hold_neighbours_and_grids_span_the_map():
    places = torch.arange(24.0).reshape(1, 4, 6, 1)
    assert partition(places, 1, 2, grid=False)[0].flatten().tolist() == [0, 1, 6, 7]
    assert partition(places, 1, 2, grid=True)[0].flatten().tolist() == [0, 3, 12, 15]


@pytest.mark.parametrize("grid", [False, True])
def test_attention_stays_within_its_window_or_grid(grid):
    torch.manual_seed(0)
    attention = WindowAttention(4, 2, 4, 2, grid)
    x = torch.randn(1, 4, 4, 4)
    other = x.clone()
    other[0, 0, 0] += 1
    changed = (attention(other) - attention(x)).abs().amax(-1)[0] > 1e-7
    places = [[0, 0], [0, 2], [2, 0], [2, 2]] if grid else [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert changed.nonzero().tolist() == places


def test_rotary_products_know_only_the_offset_between_two_places():
    window, width = 5, 8
    query, key = torch.randn(2, width, dtype=torch.float64)
    tables = [table.double() for table in rotation(window, width)]
    turned = [rotate(x.expand(window**2, width), *tables) for x in (query, key)]
    products = (turned[0] @ turned[1].T).reshape([window] * 4)  # [row, column, row', column']
    at = {offset: [] for offset in ((1, 0), (0, 1), (2, -1))}
    for (down, right), found in at.items():
        rows, columns = range(max(0, -down), window - max(0, down)), range(max(0, -right), window - max(0, right))
        found += [products[r, c, r + down, c + right] for r in rows for c in columns]
    means = [torch.stack(found).mean() for found in at.values()]
    for found, mean in zip(at.values(), means, strict=True):
        torch.testing.assert_close(torch.stack(found), mean.expand(len(found)), rtol=1e-5, atol=1e-6)
    assert min((means[0] - means[1]).abs(), (means[1] - means[2]).abs()) > 1e-3
    torch.testing.assert_close(products[0, 0, 0, 0], query @ key)


def test_attention_of_a_window_by_hand():
    """Softmax of ⟨turned query, turned key⟩ / √d; pairs are complex numbers, turned by column, then by row."""
    torch.manual_seed(0)
    window, heads, width, channels = 2, 2, 8, 6
    attention, x = WindowAttention(channels, heads, width, window, grid=False), torch.randn(window, window, channels)
    places = [(row, column) for row in range(window) for column in range(window)]
    y = attention.norm(x)
    angles = {
        place: torch.tensor([at * 10_000 ** (-4 * i / width) for at in reversed(place) for i in range(width // 4)])
        for place in places
    }

    def parts(layer, place):
        """The numbers of each head [heads, d] at a place."""
        return layer(y[place]).reshape(heads, width)

    def turned(layer, place):
        first, second = parts(layer, place).chunk(2, -1)
        return torch.complex(first, second) * torch.polar(torch.ones_like(angles[place]), angles[place])

    expected = []
    for place in places:
        query = turned(attention.query, place)
        products = [(query * turned(attention.key, other).conj()).real.sum(-1) / width**0.5 for other in places]
        weights = torch.stack(products).softmax(0)  # [places, heads]
        found = sum(w[:, None] * parts(attention.value, other) for w, other in zip(weights, places, strict=True))
        gate = torch.sigmoid(attention.gates(y[place]))
        expected.append(attention.out((gate[:, None] * found).flatten()))
    torch.testing.assert_close(attention(x[None])[0].flatten(0, 1), torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_a_closed_gate_takes_attention_out():
    attention = WindowAttention(4, 2, 4, 2, grid=False)
    with torch.no_grad():
        attention.gates.bias.fill_(-200.0)
    assert attention(torch.randn(1, 4, 4, 4)).abs().max() == 0


def test_film_of_the_instruction_changes_every_camera_token():
    model = encoder()
    frames, state, film = observation(model)
    different = (model(frames, state, film) - model(frames, state, torch.zeros_like(film))).abs().amax(-1)
    assert (different > 1e-4).all()


def test_a_learned_token_is_the_weighted_mean_of_the_places():
    learner, x = TokenLearner(4, 3), torch.randn(2, 2, 5, 4)
    with torch.no_grad():
        learner.weight.zero_()
        learner.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    mean = x.mean((1, 2))
    torch.testing.assert_close(learner(x), torch.stack([0 * mean, mean, 2 * mean], 1))


def test_a_blank_map_stays_finite():
    x = torch.zeros(2, 4, requires_grad=True)
    RmsNorm(4)(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_the_default_sizes_have_the_parameters_of_q_transformer():
    with torch.device("meta"):
        model = MaxViTEncoder((224, 224), 8, MaxViTConfig(), 512)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counts["stem"] + counts["blocks"] == 39_160_304  # MaxViT of q-transformer 0.5.0 without its classifier
    assert counts["learner"] == 4_210_696


def test_the_policy_takes_the_encoder_by_its_name():
    model = QTransformer(small_spec(size=32), replace(SMALL, encoder="maxvit", maxvit=TINY))
    assert isinstance(model.encoder, MaxViTEncoder) and model.ring_shape == (2, 4, 16)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"encoder": "resnet"}, "model: encoder is 'resnet', expected one of conv, maxvit"),
        ({"maxvit": {"heds": 2}}, "maxvit: unknown key 'heds'"),
        ({"maxvit": {"head_width": 6}}, "model: maxvit.head_width is 6, expected a multiple of 4"),
        ({"maxvit": {"norm": "layer"}}, "model: maxvit.norm is 'layer', expected one of rms, batch"),
        ({"maxvit": {"depth": []}}, "model: maxvit.depth is empty, expected at least one stage"),
        ({"maxvit": {"depth": [2, 0]}}, r"model: maxvit.depth\[1\] is 0, expected at least 1"),
    ],
)
def test_a_wrong_setting_is_named(data, sentence):
    with pytest.raises(QtxError, match=sentence):
        config.build(ModelConfig, data, "test")


def test_an_image_that_windows_do_not_divide_is_refused():
    with pytest.raises(QtxError, match="images have 64x64 px, expected multiples of 224 for maxvit.window 7"):
        QTransformer(small_spec(size=64), replace(SMALL, encoder="maxvit"))
