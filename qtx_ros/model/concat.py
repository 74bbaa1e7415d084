"""The paper's decoder: the actions taken so far are concatenated to the context, and one transformer sees them all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qtx_ros.model.config import ModelConfig
from qtx_ros.model.decoder import ActionDecoder
from qtx_ros.model.hyper import spread
from qtx_ros.model.transformer import EncoderBlock, KeysValues


class PrefixBlock(EncoderBlock):
    """A block of a decoder-only transformer: context tokens see each other, action tokens see them and those before."""

    def forward(self, x: Tensor, context: KeysValues, past: KeysValues | None = None) -> tuple[Tensor, KeysValues]:
        """Action tokens [B, P, W] and their keys and values so far; with `past`, x is the one token that comes next."""
        y, add = self.connections[0](x)
        y = self.norm_attention(y)
        keys, values = self.attention.keys_values(y)
        mask = seen(context[0].shape[2], x.shape[1], x.device) if past is None else None
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        everything = torch.cat([context[0], keys], 2), torch.cat([context[1], values], 2)
        y, add = self.connections[1](add(self.attention(y, everything, mask=mask)))
        return add(self.mlp(self.norm_mlp(y))), (keys, values)

    def keys_values(self, context: Tensor) -> KeysValues:
        """Keys and values of the context tokens [B, N, W] (of streams [B, N, S, W]) of this block's input."""
        y, _ = self.connections[0](context)
        return self.attention.keys_values(self.norm_attention(y))


class ConcatDecoder(ActionDecoder):
    """`ActionDecoder` whose blocks take the context along, from block to block."""

    def _blocks(self, config: ModelConfig) -> nn.ModuleList:
        sizes = config.width, config.heads, config.mlp_factor, config.hyper_streams
        return nn.ModuleList(PrefixBlock(*sizes, i) for i in range(config.decoder_layers))

    def given(self, context: Tensor) -> list[KeysValues]:
        """Keys and values of the context tokens [B, N, W] in each block; no action changes them."""
        pairs, context = [], spread(context, self.streams)
        for i, block in enumerate(self.blocks):
            pairs.append(block.keys_values(context))
            if i + 1 < len(self.blocks):
                context = EncoderBlock.forward(block, context)
        return pairs


def seen(context: int, actions: int, device: torch.device) -> Tensor:
    """What an action token may see, bool [P, N + P]: the context, itself and the action tokens before it."""
    return torch.ones(actions, context + actions, dtype=torch.bool, device=device).tril(context)
