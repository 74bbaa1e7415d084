"""How an action becomes the tokens that the decoder goes through: here one token per dimension, its bin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qtx_ros.model.decoder import ActionDecoder, Walk


class PlainCode(nn.Module):
    """D dimensions are D tokens. The other codes keep its methods.

    Tokens are what learning rules see: Q [B, K, M] has a row per token, and `q.gather(-1, tokens[..., None])` is the Q
    of the taken ones. Choices are what a walk through the decoder returns. Here both are the bins.
    """

    def __init__(self, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.bins, self.sizes, self.places = bins, bins, len(bins)
        self.dimensions = tuple(range(len(bins)))  # to which the token of each place belongs

    def to_tokens(self, bins: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens int64 [B, K] of bins int64 [B, D]."""
        return bins

    def to_bins(self, tokens: Tensor) -> Tensor:
        """Bins int64 [B, D] of tokens int64 [B, K]."""
        return tokens

    def forced(self, critic: ActionDecoder, context: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forced on tokens [B, K]: outputs [B, K, M] or logits [B, K, M, A], and which bins are present."""
        return critic.forced(context, tokens[:, : self.places - 1])

    def first(self, critic: ActionDecoder, context: Tensor) -> Tensor:
        """Q of the first token, [B, M]: its maximum is the value of the state."""
        return self.walk(critic, context).next(None)

    def walk(self, critic: ActionDecoder, context: Tensor) -> Walk:
        """A walk through the tokens."""
        return Walk(critic, context)

    def decision(self, choices: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bins int64 [B, D], their Q [B, D] and all Q [B, D, M] of a walk's choices [B, K] and Q [B, K, M]."""
        return choices, taken(q, choices), q


def taken(q: Tensor, choices: Tensor) -> Tensor:
    """Q [B, K] of the choices int64 [B, K], of Q [B, K, M]."""
    return q.gather(-1, choices[..., None])[..., 0]
