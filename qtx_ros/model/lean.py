"""Steps of the MaxViT with backward passes of their own: autograd's keep more maps, and some are slow on a CPU.

Each computes what its plain formula in `maxvit.py` does; that one is for graphs (`traced`), where compilers fuse it.
Backward passes run outside of autocast, hence types are told here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable
from torch.nn import functional as F


def traced() -> bool:
    """Whether this run draws a graph (torch.export, torch.compile)."""
    return torch.compiler.is_compiling()


def narrow(x: Tensor) -> bool:
    """Whether x is computed in bfloat16 on a CPU."""
    return x.device.type == "cpu" and _type(x) == torch.bfloat16


def _type(x: Tensor) -> torch.dtype:
    """What autocast computes in, or the type of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _wide(x: Tensor) -> torch.dtype:
    """The type of x, float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, gelu: bool = False) -> Tensor:
    """x […, C] by the root mean square of its channels, times weight [C], then a GELU if asked. Keeps x only."""
    return _RmsNorm.apply(x, weight, epsilon, gelu)


class _RmsNorm(Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, epsilon: float, gelu: bool) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).to(_wide(x))  # […, 1]
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_().to(x.dtype)
        ctx.save_for_backward(x, inverse, weight)
        ctx.gelu, kind = gelu, _type(x)
        y = (x * inverse).to(kind).mul_(weight.to(kind))
        return torch.ops.aten.gelu_(y) if gelu else y

    @staticmethod
    @once_differentiable
    def backward(ctx, given: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, weight = ctx.saved_tensors
        scale = weight.to(x.dtype)
        grad = given.to(x.dtype)
        if ctx.gelu:
            grad = torch.ops.aten.gelu_backward(grad, (x * inverse).mul_(scale))
        product = (grad * x).flatten(0, -2)  # [places, C]
        of_weight = (inverse.reshape(1, -1) @ product)[0]
        share = (product @ scale[:, None]).view(inverse.shape) * inverse**3 / -x.shape[-1]
        of_x = torch.mul(grad, scale, out=product.view(grad.shape)).mul_(inverse).addcmul_(x, share)
        return of_x, of_weight.to(weight.dtype), None, None


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`rotate` of maxvit.py: pairs (x_i, x_{i + d/2}) of x […, w², d] turned by angles [w², d / 2]; x is not kept."""
    tables = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
    return _Turn.apply(x, *(table.to(x.dtype) for table in tables))


class _Turn(Function):
    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _turned(grad, *ctx.saved_tensors, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    return (x * cos).addcmul_(x.roll(x.shape[-1] // 2, -1), sin, value=sign)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention without a scale, [N, heads, P, d] of each; PyTorch's own takes four times as long back in bfloat16."""
    return _Attend.apply(query, key, value)


class _Attend(Function):
    @staticmethod
    def forward(ctx, *parts: Tensor) -> Tensor:
        query, key, value = (part.flatten(0, 1) for part in parts)  # [N · heads, P, d]
        logits = torch.bmm(query, key.mT).to(_wide(query))  # [N · heads, P, P]; a softmax of bfloat16 is slower
        weights = logits.softmax(-1).to(query.dtype)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value).view(parts[0].shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, given: Tensor) -> tuple[Tensor, ...]:
        query, key, value, weights = ctx.saved_tensors
        grad = given.flatten(0, 1)
        of_weights = torch.bmm(grad, value.mT)
        of_logits = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        grads = torch.bmm(of_logits, key), torch.bmm(of_logits.mT, query), torch.bmm(weights.mT, grad)
        return tuple(part.view(given.shape) for part in grads)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """3×3 depthwise convolution of x [B, C, h, w]; its way back to x in float32: in bfloat16 strides take it 20 ×."""
    return _Depthwise.apply(x, weight, bias, stride)


class _Depthwise(Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        kind = _type(x)
        x = x.to(kind)
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight.to(kind), bias.to(kind), stride, 1, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        told = (ctx.stride, ctx.stride), (1, 1), (1, 1), False, (0, 0), len(weight)
        size, back = [len(weight)], torch.ops.aten.convolution_backward
        wide = torch.empty_like(x, dtype=weight.dtype)  # for its shape only
        of_x, _, _ = back(grad.to(weight.dtype), wide, weight, size, *told, (True, False, False))
        _, *others = back(grad, x, weight.to(x.dtype), size, *told, (False, True, True))
        return of_x.to(x.dtype), *(part.to(weight.dtype) for part in others), None
