"""Parts that other methods than Q-learning need: the value of a state, and a wanted return as token of the context."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StateValue(nn.Module):
    """V(s) of implicit Q-learning: an MLP over all context tokens."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(context * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, context: Tensor) -> Tensor:
        """[B] from context tokens [B, N, W]."""
        return self.mlp(context.flatten(1))[:, 0]


class WantedReturn(nn.Module):
    """The last token of a Decision Transformer's context: the return that shall come. A deployed policy wants 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(1, width)

    def append(self, context: Tensor) -> Tensor:
        """Context tokens [B, N + 1, W] of [B, N, W]: the return 1 is wanted."""
        return torch.cat([context, self.layer(torch.ones_like(context[:, :1, :1]))], 1)

    def replace(self, context: Tensor, returns: Tensor) -> Tensor:
        """Context tokens [B, N + 1, W] that want the returns [B] instead."""
        return torch.cat([context[:, :-1], self.layer(returns[:, None, None])], 1)
