"""The MaxViT's own backward passes: the values and gradients of the plain formulas."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qtx_ros.model import lean
from qtx_ros.model.maxvit import EPSILON, Depthwise, MaxViTConfig, MaxViTEncoder, RmsNorm, activated, rotate, rotation

KINDS = [torch.float32, torch.bfloat16]
CONFIG = MaxViTConfig(dim=8, depth=(1, 2), heads=2, head_width=8, window=4, expansion=2, tokens=3)  # of 32 · n px


def drawn(*shapes, dtype=torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def plain_norm(x, weight, gelu=False):
    y = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight
    return F.gelu(y) if gelu else y


def lean_norm(x, weight, gelu=False):
    return lean.rms_norm(x, weight, EPSILON, gelu)


def plain_attention(query, key, value):
    return torch.softmax(query @ key.mT, -1) @ value


def plain_depthwise(x, weight, bias):
    return F.conv2d(x, weight, bias, 2, 1, groups=len(weight))


TABLES = [table.double() for table in rotation(2, 4)]
STEPS = {  # name: lean, plain, shapes of what it is given
    "norm": (lean_norm, plain_norm, [(2, 3, 6), (6,)]),
    "norm and GELU": (partial(lean_norm, gelu=True), partial(plain_norm, gelu=True), [(2, 3, 6), (6,)]),
    "turn": (lambda x: lean.turn(x, *TABLES), lambda x: rotate(x, *TABLES), [(3, 2, 4, 4)]),
    "attention": (lean.attend, plain_attention, [(3, 2, 4, 5)] * 3),
    "convolution": (partial(lean.depthwise, stride=2), plain_depthwise, [(2, 3, 4, 6), (3, 1, 3, 3), (3,)]),
}


@pytest.mark.parametrize("name", STEPS)
def test_values_and_gradients_are_those_of_the_plain_formula(name):
    step, plain, shapes = STEPS[name]
    inputs = drawn(*shapes)
    torch.testing.assert_close(step(*inputs), plain(*inputs))
    grads = [torch.autograd.grad(call(*inputs).sin().sum(), inputs) for call in (step, plain)]
    for own, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(own, wanted)


@pytest.mark.parametrize("name", STEPS)
def test_gradients_are_those_of_differences(name):
    step, _, shapes = STEPS[name]
    assert torch.autograd.gradcheck(step, drawn(*shapes))


@pytest.mark.parametrize("name", STEPS)
def test_in_bfloat16_they_err_no_more_than_its_digits(name):
    step, plain, shapes = STEPS[name]
    rough = drawn(*shapes, dtype=torch.bfloat16)
    exact = [x.detach().double().requires_grad_() for x in rough]
    own, wanted = (call(*inputs) for call, inputs in ((step, rough), (plain, exact)))
    assert own.dtype == torch.bfloat16
    torch.testing.assert_close(own.double(), wanted, rtol=0.03, atol=0.03)
    grads = torch.autograd.grad(own.float().sum(), rough), torch.autograd.grad(wanted.sum(), exact)
    for found, right in zip(*grads, strict=True):
        torch.testing.assert_close(found.double(), right, rtol=0.05, atol=0.05)


def test_a_map_of_strides_that_are_not_its_own_is_turned_and_attended_to():
    x = drawn((3, 4, 2, 4))[0].transpose(1, 2)
    torch.testing.assert_close(lean.turn(x, *TABLES), rotate(x, *TABLES))
    found = [call(x, x, x).transpose(1, 2).sin().sum() for call in (lean.attend, plain_attention)]
    torch.testing.assert_close(*(torch.autograd.grad(one, x) for one in found))


def test_a_norm_keeps_its_map_and_one_number_per_place():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        activated(RmsNorm(6), torch.randn(5, 6, requires_grad=True))
    assert sorted(kept) == [5, 6, 30]


def test_autocast_gives_bfloat16_and_gradients_in_the_types_of_their_owners():
    x, norm, layer = torch.randn(2, 4, 4, 6, requires_grad=True), RmsNorm(6), Depthwise(6, 2)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(activated(norm, x).permute(0, 3, 1, 2))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert {p.grad.dtype for p in (x, *norm.parameters(), *layer.parameters())} == {torch.float32}


def step_of(model: nn.Module, bfloat16: bool) -> list[torch.Tensor]:
    """Tokens and gradients of a forward and a backward pass."""
    torch.manual_seed(1)
    frames = torch.randint(0, 256, (2, 1, 32, 64, 3), dtype=torch.uint8)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        tokens = model(frames, torch.randn(2, 2), 0.1 * torch.randn(2, model.film_size)).float()
    tokens.sin().sum().backward()
    return [tokens.detach(), *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_learns_as_by_the_plain_formulas(kind, monkeypatch):
    torch.manual_seed(0)
    model = MaxViTEncoder((32, 64), 2, CONFIG, 16)
    own = step_of(model, kind == torch.bfloat16)
    monkeypatch.setattr(lean, "traced", lambda: True)
    wanted = step_of(model, False)
    close = 1e-4 if kind == torch.float32 else 0.1
    for found, right in zip(own, wanted, strict=True):
        assert (found - right).norm() <= close * right.norm()
