"""Random shifts of the image, the same for all frames of a window, and random loss of the instruction."""

from __future__ import annotations

import torch
from torch import Tensor


def shift(frames: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Frames uint8 [B, T, C, H, W, 3], each window moved by up to ± `pixels` in both directions, edges repeated."""
    if pixels == 0:
        return frames
    batch, steps, cameras, height, width, channels = frames.shape
    offset = torch.randint(-pixels, pixels + 1, (batch, 2), generator=generator).to(frames.device)
    rows = (torch.arange(height, device=frames.device) + offset[:, :1]).clamp(0, height - 1)  # [B, H]
    columns = (torch.arange(width, device=frames.device) + offset[:, 1:]).clamp(0, width - 1)  # [B, W]
    index = (rows[:, :, None] * width + columns[:, None, :]).reshape(batch, 1, -1, 1)  # [B, 1, H · W, 1]
    flat = frames.reshape(batch, steps * cameras, height * width, channels)
    return flat.gather(2, index.expand(-1, steps * cameras, -1, channels)).reshape(frames.shape)


def drop_text(tokens: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Instructions int64 [B, L], each replaced with the given probability by the empty one, the null condition."""
    if probability == 0:
        return tokens
    dropped = torch.rand(len(tokens), generator=generator).to(tokens.device) < probability
    return tokens.masked_fill(dropped[:, None], 0)
