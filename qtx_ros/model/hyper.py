"""Hyper-connections (Zhu et al. 2024, arXiv 2409.19606): several residual streams, and learned ways between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Add = Callable[[Tensor], Tensor]  # what a branch made, [B, N, W], → the residual after it
Connection = Callable[[Tensor], tuple[Tensor, Add]]  # the residual → what the branch sees, and how it is added
INITIAL_SCALE = 0.01  # of what depends on the input


def residual(x: Tensor) -> tuple[Tensor, Add]:
    """The plain residual connection of x [B, N, W]."""
    return x, lambda branch: x + branch


class HyperConnection(nn.Module):
    """The connections around one branch: S streams are mixed, one mixture goes into the branch, all take its result.

    Each weight is a learned number plus a small part that depends on the tokens (static and dynamic form). At first a
    branch reads one stream, streams do not mix and all take the result as it is: the plain residual connection.
    """

    def __init__(self, width: int, streams: int, index: int) -> None:
        """`index` of the branch in its stack: branches next to each other read different streams."""
        super().__init__()
        read = nn.functional.one_hot(torch.tensor([index % streams]), streams).float().T  # [S, 1]
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Parameter(torch.cat([read, torch.eye(streams)], 1))  # [S, 1 + S]
        self.give = nn.Parameter(torch.ones(streams))
        self.mix_by_token = nn.Parameter(torch.zeros(width, 1 + streams))
        self.give_by_token = nn.Parameter(torch.zeros(width))
        self.scales = nn.Parameter(torch.full((2,), INITIAL_SCALE))

    def forward(self, x: Tensor) -> tuple[Tensor, Add]:
        """What the branch sees, [B, N, W] of streams [B, N, S, W]; and streams from what it made."""
        normed = self.norm(x)
        mix = self.mix + self.scales[0] * torch.tanh(normed @ self.mix_by_token)  # [B, N, S, 1 + S]
        give = self.give + self.scales[1] * torch.tanh(normed @ self.give_by_token)  # [B, N, S]
        mixed = mix.transpose(-1, -2) @ x  # [B, N, 1 + S, W]
        return mixed[..., 0, :], lambda branch: mixed[..., 1:, :] + give[..., None] * branch[..., None, :]


def connections(count: int, width: int, streams: int, first: int) -> nn.ModuleList | list[Connection]:
    """Those of `count` branches, the first of them number `first` in its stack; plain ones without streams."""
    if not streams:
        return [residual] * count
    return nn.ModuleList(HyperConnection(width, streams, first + i) for i in range(count))


def spread(x: Tensor, streams: int) -> Tensor:
    """Streams [B, N, S, W], all the same, of tokens [B, N, W]; the tokens themselves without streams."""
    return x[..., None, :].expand(*x.shape[:-1], streams, x.shape[-1]) if streams else x


def gather(x: Tensor, streams: int) -> Tensor:
    """Tokens [B, N, W]: the mean of the streams."""
    return x.mean(-2) if streams else x
