"""Random shifts and colours of the images, alike for all frames of a chunk, random loss of the instruction, and taken
bins that are moved a little."""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # what red, green and blue weigh in brightness


def shift(frames: Tensor, draw: Tensor, count: int, pixels: int, generator: torch.Generator) -> Tensor:
    """Frames uint8 [U, C, H, W, 3], those of each draw moved by up to ± `pixels` in both directions, edges repeated.

    draw int64 [U]: which of `count` draws of random numbers each frame takes.
    """
    if pixels == 0:
        return frames
    height, width = frames.shape[2:4]
    offset = torch.randint(-pixels, pixels + 1, (count, 2), generator=generator) + pixels
    draws, runs = draw.unique_consecutive(return_counts=True)  # a chunk's frames stand together: one copy for all
    padded, moved, first = _padded(_padded(frames, 2, pixels), 3, pixels), torch.empty_like(frames), 0
    for (row, column), size in zip(offset[draws.cpu()].tolist(), runs.tolist(), strict=True):
        part = slice(first, first + size)
        moved[part] = padded[part, :, row : row + height, column : column + width]
        first += size
    return moved


def _padded(x: Tensor, axis: int, count: int) -> Tensor:
    """The first and the last entry of an axis repeated `count` times more."""
    sizes = [count if i == axis else -1 for i in range(x.ndim)]
    ends = (x.narrow(axis, place, 1).expand(sizes) for place in (0, x.shape[axis] - 1))
    return torch.cat([next(ends), x, next(ends)], axis)


def colour(frames: Tensor, draw: Tensor, count: int, strength: float, generator: torch.Generator) -> Tensor:
    """Frames uint8 [U, C, H, W, 3], brightness, contrast and saturation of each draw times 1 ± up to `strength`."""
    if strength == 0:
        return frames
    factors = 1 + strength * (2 * torch.rand(3, count, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.to(frames.device)[:, draw]  # [U, 1, 1] each
    grey = torch.tensor(GREY, device=frames.device).expand(3, 3)  # a pixel @ greyᵀ is its brightness, three times
    mix = saturation * torch.eye(3, device=frames.device) + (1 - saturation) * grey  # [U, 3, 3]
    pixels = frames.flatten(1, 3).float() @ (brightness * contrast * mix).transpose(1, 2)
    pixels += 127.5 * (1 - contrast)
    return pixels.round_().clamp_(0, 255).to(torch.uint8).reshape(frames.shape)


def drop_text(tokens: Tensor, draw: Tensor, count: int, probability: float, generator: torch.Generator) -> Tensor:
    """Instructions int64 [B, L], each replaced with the given probability by the empty one, the null condition.

    draw int64 [B]: which of `count` draws each takes.
    """
    if probability == 0:
        return tokens
    dropped = torch.rand(count, generator=generator).to(tokens.device) < probability
    return tokens.masked_fill(dropped[draw][:, None], 0)


def move_bins(bins: Tensor, counts: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """Bins int64 [B, D], each moved by a normal number of bins of standard deviation share · count, kept in its range.

    A dimension sees the bins before it by embeddings that are learned bin by bin. Of many bins each is taken rarely,
    and what decides at last may be a neighbour that never was. With the noise all of them are met, in proportion.
    """
    if share == 0:
        return bins
    most = torch.tensor(counts)
    noise = torch.randn(bins.shape, generator=generator) * share * most
    return (bins + noise.round().long().to(bins.device)).clamp(min=0).minimum((most - 1).to(bins.device))
