"""Structured dropout of the memory: a policy that learned with a long past must cope with a short one."""

from __future__ import annotations

import torch
from torch import Tensor


def forget(past_bins: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Past bins int64 [B, P, D], oldest first, of which some transitions lost a run of steps: −1, as if never taken.

    In half of those the run begins with the oldest step, as if the episode had begun later; otherwise anywhere, so
    that no single step, and not the newest either, can be relied on. s and s′ lose the same steps.
    """
    if probability == 0:
        return past_bins
    batch, steps = past_bins.shape[:2]
    draw = torch.rand(batch, 4, generator=generator).to(past_bins.device)
    low, high = (draw[:, :2] * (steps + 1)).long().sort(1).values.unbind(1)
    low = torch.where(draw[:, 2] < 0.5, 0, low)
    step = torch.arange(steps, device=past_bins.device)
    lost = (low[:, None] <= step) & (step < high[:, None]) & (draw[:, 3] < probability)[:, None]
    return past_bins.masked_fill(lost[..., None], -1)
