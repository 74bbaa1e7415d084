"""A map of features summarised by a few learned tokens, for any frame encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TokenLearner(nn.Module):
    """A few tokens, each a sum of all places weighted by what an MLP of its own makes of them (as in q-transformer)."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.hidden = nn.Linear(channels, tokens * 2 * channels)
        self.weight = nn.Parameter(torch.randn(tokens, 2 * channels) / (2 * channels) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(tokens))

    def forward(self, x: Tensor) -> Tensor:
        """[B, tokens, C] from [B, h, w, C]."""
        x = x.flatten(1, 2)  # [B, N, C]
        hidden = F.gelu(self.hidden(x)).unflatten(-1, (self.tokens, -1))  # [B, N, tokens, 2C]
        weights = (hidden * self.weight).sum(-1) + self.bias  # [B, N, tokens]
        return weights.transpose(1, 2) @ x / x.shape[1]
