"""Exploration inside the decoder: later dimensions see the bins that were really taken before them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qtx_ros.model.decoder import Choose


def explorer(
    dimensions: Sequence[int | None], generator: torch.Generator, temperature: float, random: Tensor | None
) -> Choose:
    """A choice for each token of a walk.

    dimensions: of each token, None where it belongs to none; temperature: 0 takes the best bin, more samples from
    softmax(Q / temperature), by adding Gumbel noise; random: bool [B, D], dimensions that take a random bin instead.
    """

    def choose(place: int, q: Tensor) -> Tensor:
        noise = gumbel(q.shape, generator).to(q.device)
        chosen = (q + temperature * noise).argmax(-1)
        if random is None or dimensions[place] is None:
            return chosen
        uniform = noise.masked_fill(torch.isinf(q), float("-inf")).argmax(-1)
        return torch.where(random[:, dimensions[place]].to(q.device), uniform, chosen)

    return choose


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise: the argmax of logits plus this noise is a sample of their softmax."""
    uniform = torch.rand(tuple(shape), generator=generator, device=generator.device).clamp_min(1e-20)
    return -(-uniform.log()).clamp_min(1e-20).log()
