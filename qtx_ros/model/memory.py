"""What the policy did before: states and actions of past steps, kept in the ring and attended to by the context.

As in Transformer-XL, tokens of the past are keys and values only. They hold no pictures, so they reach further back
than the frames do. In the ring [T, K + E, W] the last E slots of all frames hold M + 1 of them, oldest first: the M
steps before this tick, and the step of this tick itself, which is written once its action is known and seen from the
next tick on. Zeros are steps that never were: a reset empties the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qtx_ros.model.config import ModelConfig
from qtx_ros.model.text import ABSENT
from qtx_ros.model.transformer import Mlp


class Memory(nn.Module):
    """The last M steps, a token each."""

    def __init__(self, bins: tuple[int, ...], state_size: int, history: int, config: ModelConfig) -> None:
        super().__init__()
        self.steps, self.history, width = config.memory, history, config.width
        self.slots = -(-(self.steps + 1) // history)  # E
        self.bin_embedding = nn.Embedding(sum(bins), width)
        self.state_layer, self.mlp = nn.Linear(state_size, width), Mlp(width, config.mlp_factor)
        self.position = nn.Parameter(torch.randn(self.steps, width) * 0.3)
        self.nothing = nn.Parameter(torch.randn(width) * 0.3)  # always there: there is something to look at
        self.register_buffer("offset", torch.tensor([0, *bins[:-1]]).cumsum(0), persistent=False)  # [D]

    def remember(self, state: Tensor, bins: Tensor) -> Tensor:
        """Tokens [B, N, W] of steps: normalised states [B, N, S] and the bins chosen there, int64 [B, N, D]."""
        x = self.state_layer(state) + self.bin_embedding(bins + self.offset).sum(-2)
        return x + self.mlp(x)

    def past(self, state: Tensor, bins: Tensor) -> Tensor:
        """Tokens [B, M + 1, W] of the last M steps, states [B, M, S] and bins [B, M, D]; bins of −1: there was none."""
        there = (bins >= 0).all(-1, keepdim=True)
        tokens = torch.where(there, self.remember(state, bins.clamp(min=0)), 0.0)
        return F.pad(tokens, (0, 0, 0, 1))

    def split(self, ring: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [B, T, K, W] and past [B, M + 1, W] of the ring [B, T, K + E, W]."""
        frames, packed = ring[:, :, : -self.slots], ring[:, :, -self.slots :]
        return frames, packed.flatten(1, 2)[:, -self.steps - 1 :]

    def join(self, frames: Tensor, past: Tensor) -> Tensor:
        """The inverse of `split`."""
        unused = self.history * self.slots - self.steps - 1
        return torch.cat([frames, F.pad(past, (0, 0, unused, 0)).unflatten(1, (self.history, self.slots))], 2)

    def move(self, past: Tensor, first: Tensor) -> Tensor:
        """A tick later: past [B, M + 1, W] with room for its step; nothing where it is the first, bool [B]."""
        return torch.where(first[:, None, None], 0.0, F.pad(past[:, 1:], (0, 0, 0, 1)))

    def given(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, M + 1, W] to attend to in past [B, M + 1, W], and what is added to their logits, [B, M + 1]."""
        seen = past[:, :-1]
        absent = (seen.abs().sum(-1) == 0).to(past.dtype) * ABSENT  # [B, M]
        nothing = self.nothing.expand(len(past), 1, -1)
        return torch.cat([nothing, seen + self.position], 1), F.pad(absent, (1, 0))


def push(ring: Tensor, newest: Tensor, first: Tensor) -> Tensor:
    """Ring [B, T, K, W] with the newest frame's tokens [B, K, W] last; the first one fills it, bool [B]."""
    moved = torch.cat([ring[:, 1:], newest[:, None]], 1)
    return torch.where(first[:, None, None, None], newest[:, None].expand_as(ring), moved)
