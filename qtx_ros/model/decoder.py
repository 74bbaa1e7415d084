"""Autoregressive Q-values: one token per action dimension, each seeing the bins of the dimensions before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from qtx_ros.model.config import ModelConfig
from qtx_ros.model.heads import QHead
from qtx_ros.model.hyper import gather, spread
from qtx_ros.model.transformer import DecoderBlock, KeysValues


class ActionDecoder(QHead):
    """Q_k(context, t_1 … t_{k-1}, ·) for K tokens with `sizes` bins each; absent bins are −inf.

    context: number of context tokens N. Each token starts from a summary of the context and attends to it.
    """

    def __init__(self, sizes: tuple[int, ...], context: int, config: ModelConfig) -> None:
        super().__init__()
        width, self.streams = config.width, config.hyper_streams
        self.start = nn.Linear(context * width, width)
        self.position = nn.Parameter(torch.randn(len(sizes), width) * 0.5)
        every = config.tie_bins or config.order != "fixed"  # else nothing follows the last token's bins
        self.bin_embedding = nn.Embedding(sum(sizes if every else sizes[:-1]) or 1, width)
        self.blocks = self._blocks(config)
        self.norm = nn.LayerNorm(width)
        self.add_head(sizes, config)

    def _blocks(self, config: ModelConfig) -> nn.ModuleList:
        sizes = config.width, config.heads, config.mlp_factor, config.hyper_streams
        return nn.ModuleList(DecoderBlock(*sizes, i) for i in range(config.decoder_layers))

    def given(self, context: Tensor) -> list[KeysValues]:
        """Keys and values of the context tokens [B, N, W] in each block."""
        return [block.cross_attention.keys_values(context) for block in self.blocks]

    def start_token(self, context: Tensor) -> Tensor:
        """A summary [B, 1, W] of the context tokens [B, N, W]: every token starts from it, without attention."""
        return self.start(context.flatten(1))[:, None]

    def embed(self, place: int, taken: Tensor) -> Tensor:
        """[B, 1, W] of the bin taken at a place, int64 [B]."""
        return self.embedded(taken + self.offset[place])[:, None]

    def forced(self, context: Tensor, taken: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Teacher forced on the first P tokens, int64 [B, P]: outputs [B, P + 1, M] or logits [B, P + 1, M, A].

        Second come the bins that are present, bool [P + 1, M] unless `present` [B, P + 1, M] is given.
        """
        count = taken.shape[1] + 1
        before = self.embedded(taken + self.offset[: count - 1])  # [B, P, W]
        start = self.start_token(context)  # [B, 1, W]
        x = torch.cat([start, start + before], 1) + self.position[:count]  # [B, P + 1, W]
        x, _ = self.run(x, self.given(context), [None] * len(self.blocks))
        present = self.present[:count] if present is None else present
        return self.outputs(x, 0, present), present

    def q_values(self, context: Tensor, taken: Tensor) -> Tensor:
        """Teacher forced on the first P tokens, int64 [B, P]: Q [B, P + 1, M]."""
        return self.values(*self.forced(context, taken))

    def run(
        self, x: Tensor, context: list[KeysValues], past: Sequence[KeysValues | None]
    ) -> tuple[Tensor, list[KeysValues]]:
        """Tokens [B, P, W] through all blocks, and the keys and values so far; with `past`, x is the next token."""
        kept, streams = [], self.streams
        x = spread(x, streams)
        for block, given, before in zip(self.blocks, context, past, strict=True):
            x, keys_values = block(x, given, before)
            kept.append(keys_values)
        return gather(x, streams), kept

    def step(
        self,
        x: Tensor,
        place: int,
        past: Sequence[KeysValues | None],
        context: list[KeysValues],
        present: Tensor | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        """Q at a place, [B, M], from its input token [B, 1, W]; and the keys and values so far.

        present: bool [B, 1, M], the token's own bins unless given.
        """
        x, kept = self.run(x + self.position[place], context, past)
        present = self.present[place : place + 1] if present is None else present
        return self.values(self.outputs(x, place, present), present)[:, 0], kept


class SingleHead(ActionDecoder):
    """One dimension needs no autoregression: one linear head on the context's summary."""

    def _blocks(self, config: ModelConfig) -> nn.ModuleList:
        return nn.ModuleList()


class Walk:
    """One decoder going from token to token of one context, keys and values kept."""

    def __init__(self, decoder: ActionDecoder, context: Tensor) -> None:
        self.decoder, self.place = decoder, 0
        self.context = decoder.given(context)
        self.start = decoder.start_token(context)
        self.past: list[KeysValues | None] = [None] * len(decoder.blocks)

    def next(self, previous: Tensor | None) -> Tensor:
        """Q of the next token, [B, M], after the bin of the one before it, int64 [B]."""
        x = self.start if previous is None else self.start + self.decoder.embed(self.place - 1, previous)
        q, self.past = self.decoder.step(x, self.place, self.past, self.context, self.present(previous))
        self.place += 1
        return q

    def select(self, rows: Tensor) -> None:
        """Go on from other rows of the batch, int64 [B′]; if they are as many, each has the context of its place."""
        if len(rows) != len(self.start):
            self.start, self.context = self.start[rows], [(keys[rows], values[rows]) for keys, values in self.context]
        self.past = [(keys[rows], values[rows]) for keys, values in self.past]

    def present(self, previous: Tensor | None) -> Tensor | None:
        """Bins of the next token, bool [B, 1, M], where they depend on the bin before it; None: they do not."""
        return None


def decode(
    walks: Sequence[Walk], combine: Callable[[list[Tensor]], Tensor], places: int
) -> tuple[Tensor, Tensor]:
    """Token after token the best bin of the combined Q: the choices int64 [B, K] and all Q [B, K, M].

    In each place `combine` makes one Q [B, M] of those of the walks, and all go on from its best bin.
    """
    choices, q_all = [], []
    for _ in range(places):
        q = combine([walk.next(choices[-1] if choices else None) for walk in walks])  # [B, M]
        choices.append(q.argmax(-1))
        q_all.append(q)
    return torch.stack(choices, 1), torch.stack(q_all, 1)
