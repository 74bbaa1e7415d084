"""Autoregressive Q-values: one token per action dimension, each seeing the bins of the dimensions before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from qtx_ros.model.transformer import DecoderBlock, KeysValues


class ActionDecoder(nn.Module):
    """Q_i(context, a_1 … a_{i-1}, ·) for D dimensions with their own number of bins; absent bins are −inf."""

    def __init__(
        self, bins: tuple[int, ...], context: int, width: int, heads: int, layers: int, mlp_factor: int, dueling: bool
    ) -> None:
        super().__init__()
        count, widest = len(bins), max(bins)
        self.start = nn.Linear(context * width, width)
        self.position = nn.Parameter(torch.randn(count, width) * 0.5)
        self.bin_embedding = nn.Embedding(sum(bins[:-1]) or 1, width)
        self.blocks = nn.ModuleList(DecoderBlock(width, heads, mlp_factor) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Parameter(torch.randn(count, width, widest) * 0.3 / width**0.5)
        self.head_bias = nn.Parameter(torch.zeros(count, widest))
        self.value_head = nn.Parameter(torch.zeros(count, width, 1)) if dueling else None
        self.register_buffer("offset", torch.tensor([0, *bins]).cumsum(0)[:count], persistent=False)  # [D]
        self.register_buffer("present", torch.arange(widest) < torch.tensor(bins)[:, None], persistent=False)  # [D, M]

    def q_values(self, context: Tensor, bins: Tensor) -> Tensor:
        """Teacher forced: [B, P + 1, M] given context tokens [B, N, W] and the bins taken before, int64 [B, P]."""
        count = bins.shape[1] + 1
        taken = self.bin_embedding(bins + self.offset[: count - 1])  # [B, P, W]
        start = self.start_token(context)  # [B, 1, W]
        x = torch.cat([start, start + taken], 1) + self.position[:count]  # [B, P + 1, W]
        for block in self.blocks:
            x, _ = block(x, block.cross_attention.keys_values(context))
        return self._head(x, 0)

    def start_token(self, context: Tensor) -> Tensor:
        """A summary [B, 1, W] of the context tokens [B, N, W]: every dimension starts from it, without attention."""
        return self.start(context.flatten(1))[:, None]

    def step(
        self, x: Tensor, i: int, past: list[KeysValues | None], context: list[KeysValues]
    ) -> tuple[Tensor, list[KeysValues]]:
        """Q of dimension i, [B, M], from its input token [B, 1, W]; and the keys and values so far."""
        x = x + self.position[i]
        kept = []
        for block, before, given in zip(self.blocks, past, context, strict=True):
            x, keys_values = block(x, given, before)
            kept.append(keys_values)
        return self._head(x, i)[:, 0], kept

    def _head(self, x: Tensor, first: int) -> Tensor:
        """[B, P, M] from tokens [B, P, W] of the dimensions first … first + P − 1."""
        part = slice(first, first + x.shape[1])
        x, present = self.norm(x), self.present[part]
        q = torch.einsum("bpw,pwm->bpm", x, self.head[part]) + self.head_bias[part]
        if self.value_head is not None:
            mean = (q * present).sum(-1, keepdim=True) / present.sum(-1, keepdim=True)
            q = q - mean + torch.einsum("bpw,pwm->bpm", x, self.value_head[part])
        return q.masked_fill(~present, float("-inf"))


class Walk:
    """One decoder going from dimension to dimension of one context, keys and values kept."""

    def __init__(self, decoder: ActionDecoder, context: Tensor) -> None:
        self.decoder, self.index = decoder, 0
        self.context = [block.cross_attention.keys_values(context) for block in decoder.blocks]
        self.start = decoder.start_token(context)
        self.past: list[KeysValues | None] = [None] * len(decoder.blocks)

    def next(self, previous: Tensor | None) -> Tensor:
        """Q of the next dimension, [B, M], after the bin of the one before it, int64 [B]."""
        x = self.start
        if previous is not None:
            x = x + self.decoder.bin_embedding(previous + self.decoder.offset[self.index - 1])[:, None]
        q, self.past = self.decoder.step(x, self.index, self.past, self.context)
        self.index += 1
        return q


def decode(
    branches: Sequence[tuple[ActionDecoder, Tensor]], combine: Callable[[list[Tensor]], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Greedy on the combined Q: bins int64 [B, D], their Q [B, D], all Q [B, D, M].

    Each branch is a decoder and its context [B, N, W]. In each dimension `combine` makes one Q [B, M] of theirs, its
    best bin is taken, and all branches go on from that bin.
    """
    walks = [Walk(decoder, context) for decoder, context in branches]
    bins, q_all = [], []
    for _ in range(len(branches[0][0].position)):
        q = combine([walk.next(bins[-1] if bins else None) for walk in walks])  # [B, M]
        bins.append(q.argmax(-1))
        q_all.append(q)
    taken, values = torch.stack(bins, 1), torch.stack(q_all, 1)
    return taken, values.gather(-1, taken[..., None])[..., 0], values
