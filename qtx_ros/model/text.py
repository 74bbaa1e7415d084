"""Text encoder: hashed tokens → embedding bag → MLP. Trained with the policy, never downloaded."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TextEncoder(nn.Module):
    """Mean of the token embeddings (token 0 is padding), then a small MLP."""

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets, width, padding_idx=0)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Embedding of an instruction, float [B, E] from int64 [B, L]; an empty text is the mean of no token, zero."""
        present = (tokens != 0).to(self.embedding.weight.dtype)[..., None]  # [B, L, 1]
        total = (self.embedding(tokens) * present).sum(1)  # [B, E]
        return self.mlp(total / torch.clamp(present.sum(1), min=1))
