"""Terms beside the TD loss: margins, consistent backups, pull to the initial weights.

Shapes as in rules.py: Q [B, D, M] with −inf for absent bins, bins int64 [B, D].
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from qtx_ros.learn.rules import taken


def margin_loss(q: Tensor, bins: Tensor, demonstrated: Tensor, margin: float) -> Tensor:
    """max_m (Q_m + margin · [m not taken]) − Q of the taken bin; 0 where nothing was demonstrated; mean of all.

    The large-margin loss of DQfD (Hester et al. 2018, arXiv 1704.03732, equation 3); demonstrated bool [B].
    """
    raised = (q + margin).scatter(-1, bins[..., None], taken(q, bins)[..., None])  # [B, D, M]
    behind = raised.amax(-1) - taken(q, bins)  # [B, D], at least 0
    return (behind * demonstrated[:, None]).mean()


def consistency_loss(q: Tensor, assumed: Tensor, counts: Tensor) -> Tensor:
    """Σ_m max(0, Q_m − Q of the assumed bin): 0 where the assumed bin is still greedy, or does not count; mean of all.

    The soft consistency penalty of ConQUR (Su et al. 2020, arXiv 2002.12399): a backup takes the value of the bin that
    the target network prefers, so a Q whose greedy bin is another one contradicts its own targets.

    q [B, P, M]: online Q of the P decisions; assumed int64 [B, P]: bins that the backups assumed; counts bool [B, P]:
    decisions on which a backup rests (after a terminal step none does, nor where a bound replaced it).
    """
    lead = (q - taken(q, assumed)[..., None]).clamp(min=0).sum(-1)  # [B, P], −inf − … becomes 0
    return (lead * counts).mean()


def regenerative_loss(parameters: Iterable[Tensor], initial: Iterable[Tensor]) -> Tensor:
    """Σ (θ − θ₀)² over all weights: L2 Init of Kumar, Marklund and Van Roy 2023 (arXiv 2308.11958)."""
    return torch.stack([(p - start).square().sum() for p, start in zip(parameters, initial, strict=True)]).sum()
