"""Attention and transformer blocks, with keys and values that can be kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qtx_ros.model.hyper import connections

KeysValues = tuple[Tensor, Tensor]  # [B, heads, N, W / heads] each


class Attention(nn.Module):
    """Multi-head attention from queries to given keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def keys_values(self, x: Tensor) -> KeysValues:
        """Keys and values of tokens [B, N, W]."""
        key, value = self.key_value(x).chunk(2, -1)
        return self._split(key), self._split(value)

    def forward(self, x: Tensor, keys_values: KeysValues, causal: bool = False, mask: Tensor | None = None) -> Tensor:
        """[B, M, W] from queries [B, M, W] and keys and values [B, heads, N, W / heads]; `mask` is added to logits."""
        query = self._split(self.query(x))
        y = F.scaled_dot_product_attention(query, *keys_values, attn_mask=mask, is_causal=causal)
        return self.out(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, N, W / heads]


class Mlp(nn.Sequential):
    """Two layers with a GELU between."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__(nn.Linear(width, factor * width), nn.GELU(), nn.Linear(factor * width, width))


class EncoderBlock(nn.Module):
    """Pre-norm transformer block: every token attends to every token."""

    def __init__(self, width: int, heads: int, mlp_factor: int, streams: int = 0, index: int = 0) -> None:
        """`streams` of hyper-connections, 0: plain residuals; `index` of the block in its stack."""
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp, self.mlp = nn.LayerNorm(width), Mlp(width, mlp_factor)
        self.connections = connections(2, width, streams, 2 * index)

    def forward(self, x: Tensor, given: Tensor | None = None, absent: Tensor | None = None) -> Tensor:
        """[B, N, W] from [B, N, W], or [B, N, S, W] from as many streams.

        Tokens `given` [B, G, W] are attended to as well; `absent` [B, G] is added to their logits.
        """
        y, add = self.connections[0](x)
        y = self.norm_attention(y)
        seen = y if given is None else torch.cat([self.norm_attention(given), y], 1)
        mask = None if absent is None else F.pad(absent, (0, y.shape[1]))[:, None, None]
        y, add = self.connections[1](add(self.attention(y, self.attention.keys_values(seen), mask=mask)))
        return add(self.mlp(self.norm_mlp(y)))


class DecoderBlock(nn.Module):
    """Pre-norm block: causal attention over the tokens so far, attention to the context, MLP."""

    def __init__(self, width: int, heads: int, mlp_factor: int, streams: int = 0, index: int = 0) -> None:
        """`streams` and `index` as of an `EncoderBlock`."""
        super().__init__()
        self.norm_self, self.self_attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_cross, self.cross_attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp, self.mlp = nn.LayerNorm(width), Mlp(width, mlp_factor)
        self.connections = connections(3, width, streams, 3 * index)

    def forward(self, x: Tensor, context: KeysValues, past: KeysValues | None = None) -> tuple[Tensor, KeysValues]:
        """Tokens [B, M, W] (of streams [B, M, S, W]) and all keys and values so far; with `past`, x comes next."""
        y, add = self.connections[0](x)
        y = self.norm_self(y)
        keys, values = self.self_attention.keys_values(y)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        y, add = self.connections[1](add(self.self_attention(y, (keys, values), causal=past is None)))
        y, add = self.connections[2](add(self.cross_attention(self.norm_cross(y), context)))
        return add(self.mlp(self.norm_mlp(y))), (keys, values)
