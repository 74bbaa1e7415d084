"""The network by itself: shapes, masks, causality, conditioning, cost."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
import torch
from small_run import SMALL, assert_each_dimension_sees_the_bins_before_it, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.policy import ModelConfig, QTransformer
from qtx_ros.preprocess import text_tokens
from qtx_ros.spec import Spec


def build(spec: Spec | None = None, **changes) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(spec or small_spec(), replace(SMALL, **changes)).eval()


def context_of(model: QTransformer, batch: int = 4) -> torch.Tensor:
    return model.context(torch.randn(batch, *model.ring_shape))


def random_bins(model: QTransformer, batch: int = 4) -> torch.Tensor:
    return torch.stack([torch.randint(0, n, (batch,)) for n in model.bins], 1)


def tokens(text: str) -> torch.Tensor:
    return torch.as_tensor(text_tokens(text))[None]


@pytest.mark.parametrize("dueling", [False, True])
def test_absent_bins_are_minus_infinity_and_only_they(dueling):
    model = build(dueling=dueling)
    q = model.q_values(context_of(model), random_bins(model))
    assert q.shape == (4, 3, 7)
    assert torch.isfinite(q).sum((0, 2)).tolist() == [4 * 5, 4 * 7, 4 * 3]


@pytest.mark.parametrize("layers", [1, 2])
def test_cached_decoding_gives_the_teacher_forced_values_of_its_own_bins(layers):
    model = build(decoder_layers=layers)
    context = context_of(model, 16)
    bins, q, q_all = model.decode(context)
    forced = model.q_values(context, bins)
    torch.testing.assert_close(q_all, forced)
    assert torch.equal(bins, forced.argmax(-1))
    torch.testing.assert_close(q, forced.gather(-1, bins[..., None])[..., 0])


def test_greedy_decoding_is_deterministic():
    model = build()
    context = context_of(model, 16)
    assert torch.equal(model.decode(context)[0], model.decode(context)[0])


def test_a_dimension_sees_the_bins_before_it_and_no_later_ones():
    model = build()
    context, bins = context_of(model, 1), torch.tensor([[1, 2, 1]])
    assert_each_dimension_sees_the_bins_before_it(model, context, bins)


def test_the_value_of_a_state_is_the_best_first_bin():
    model = build()
    context = context_of(model)
    torch.testing.assert_close(model.first_q_values(context), model.q_values(context, random_bins(model))[:, 0])


def test_dueling_advantages_average_to_zero_over_the_present_bins():
    model = build(dueling=True)
    with torch.no_grad():
        model.decoder.value_head.zero_()
    q = model.q_values(context_of(model), random_bins(model))
    torch.testing.assert_close(q.nan_to_num(neginf=0).sum(-1), torch.zeros(4, 3), atol=1e-5, rtol=0)


def test_instruction_changes_tokens_through_film():
    model = build()
    frames, state = torch.randint(0, 256, (1, 1, 16, 16, 3), dtype=torch.uint8), torch.randn(1, 2)
    a, b = (model.encode(frames, state, model.instruct(tokens(text))) for text in ("open it", "close it"))
    assert (a - b).abs().amax(-1).min() > 1e-4  # every token
    assert model.instruct(tokens("open it")).shape == (1, model.feature_size)


def test_no_instruction_is_an_instruction_too():
    assert torch.isfinite(build().instruct(tokens(""))).all()


def test_every_camera_and_frame_reaches_the_decision():
    model = build(small_spec(cameras=2, history=3))
    assert model.ring_shape == (3, 2 * SMALL.grid**2 + 1, SMALL.width)
    ring = torch.randn(1, *model.ring_shape, requires_grad=True)
    model.first_q_values(model.context(ring))[:, :5].sum().backward()
    assert (ring.grad.abs().sum(-1) > 0).all()


def test_normalisation_travels_with_the_weights():
    model, other = build(), build()
    model.set_statistics(torch.ones(3), torch.full((3,), 2.0), torch.ones(2), torch.full((2,), 3.0))
    other.load_state_dict(model.state_dict())
    frames, state = torch.randint(0, 256, (1, 1, 16, 16, 3), dtype=torch.uint8), torch.randn(1, 2)
    features = model.instruct(tokens("go"))
    torch.testing.assert_close(other.encode(frames, state, features), model.encode(frames, state, features))


def test_pixels_are_normalised_by_the_buffers():
    model, plain = build(), build()
    model.set_statistics(torch.full((3,), 10.0), torch.full((3,), 2.0), torch.zeros(2), torch.ones(2))
    plain.set_statistics(torch.zeros(3), torch.ones(3), torch.zeros(2), torch.ones(2))
    frames = torch.randint(10, 100, (1, 1, 16, 16, 3), dtype=torch.uint8)
    state, features = torch.randn(1, 2), model.instruct(tokens("go"))
    expected = plain.encode((frames - 10) / 2, state, features)
    torch.testing.assert_close(model.encode(frames, state, features), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [8, 24, 100])
def test_any_image_size_gives_the_same_number_of_tokens(size):
    model = build(small_spec(size=size), grid=2, cell=2)
    frames = torch.zeros(1, 1, size, size, 3, dtype=torch.uint8)
    assert model.encode(frames, torch.zeros(1, 2), model.instruct(tokens("go"))).shape == (1, 5, SMALL.width)


def test_too_small_images_and_unequal_cameras_are_named():
    with pytest.raises(QtxError, match="4x4 px"):
        build(small_spec(size=4))
    spec = small_spec(cameras=2)
    cameras = (spec.cameras[0], replace(spec.cameras[1], height=24))
    with pytest.raises(QtxError, match="one size"):
        build(replace(spec, cameras=cameras))


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(QtxError, match="width 16 must be a multiple of heads 3"):
        replace(SMALL, heads=3)
    with pytest.raises(QtxError, match="channels is empty"):
        replace(SMALL, channels=())


def test_construction_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    model = build()
    model.instruct(tokens("open the drawer"))


def test_shipped_size_stays_small():
    from torch.utils.flop_counter import FlopCounterMode

    model = QTransformer(Spec.load("sawyer_sim"), ModelConfig())
    assert sum(p.numel() for p in model.parameters()) <= 2_400_000
    frames, state = torch.zeros(1, 1, 64, 64, 3, dtype=torch.uint8), torch.zeros(1, 8)
    with FlopCounterMode(display=False) as count:
        model.encode(frames, state, torch.zeros(1, model.feature_size))
    assert count.get_total_flops() <= 15e6
