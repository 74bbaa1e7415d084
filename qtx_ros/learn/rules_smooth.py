"""Ordinal smoothing: bins are ordered, so what is learned of the taken bin holds for its neighbours, a little less.

Shapes as in rules.py: B samples, D dimensions, M bins of the widest dimension. Source: soft labels for ordinal classes
(Díaz and Marathe 2019, "Soft Labels for Ordinal Regression"), carried over to targets and to the conservative term.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def ordinal_weights(bins: Tensor, present: Tensor, smooth: float) -> Tensor:
    """How far each bin counts as taken, [B, D, M]: w_m = exp(−½ ((m − bin) / (smooth · count))²), 1 at the taken bin.

    bins int64 [B, D]; present bool, broadcast to [B, D, M]: absent bins get 0, `count` is how many there are; smooth:
    standard deviation as a share of the dimension's range, so that it means the same for any number of bins; 0 gives 1
    to the taken bin and 0 to all others.
    """
    distance = torch.arange(present.shape[-1], device=bins.device) - bins[..., None]  # [B, D, M]
    spread = (smooth * present.sum(-1, keepdim=True)).clamp(min=1e-3)  # [bins]; so 0 leaves nothing to neighbours
    return torch.exp(-0.5 * (distance / spread).square()) * present


def squared_errors(q: Tensor, values: Tensor) -> Tensor:
    """½ (Q − value)² of every bin, [B, D, M] from Q [B, D, M] and values [B, D]; 0 for absent bins."""
    return 0.5 * torch.where(torch.isfinite(q), q - values[..., None], 0).square()


def excess_errors(q: Tensor, floors: Tensor) -> Tensor:
    """½ max(0, Q − floor)² of every bin, [B, D, M] from Q [B, D, M] and floors [B, D]; 0 for absent bins.

    With floor = target − gap it is conservatism that lasts only until an unseen bin is worth `gap` less than what the
    data did in this state, instead of nothing. Bins that are seen now and then are pulled down by at most `gap`, so
    what they are worth survives many backups; and the weight of the term can be large. The gap is that of the large
    margin of Hester et al. 2018 (DQfD, arXiv 1704.03732), between values instead of before an argmax.
    """
    return 0.5 * (q - floors[..., None]).clamp(min=0).square()


def weighted(errors: Tensor, weights: Tensor) -> Tensor:
    """Σ_m w_m e_m / Σ_m w_m, [B, D] of errors and weights [B, D, M]; 0 where all weights are 0.

    With the weights w: the TD error of the taken bin and its neighbours. With `untaken` of them: the conservative term.
    """
    total = weights.sum(-1)  # [B, D]
    return (weights * errors).sum(-1) / total.clamp(min=torch.finfo(total.dtype).tiny)


def weighted_loss(errors: Tensor, weights: Tensor) -> Tensor:
    """`weighted`, a mean over samples and dimensions."""
    return weighted(errors, weights).mean()


def untaken(weights: Tensor, present: Tensor) -> Tensor:
    """How far each present bin counts as not taken, [B, D, M]: 1 − w, 0 for absent bins."""
    return (1 - weights) * present


def soft_label_errors(q: Tensor, weights: Tensor) -> Tensor:
    """−Σ_m w_m / Σ w · log softmax(Q)_m, [B, D] of Q and weights [B, D, M]: cross-entropy with soft labels."""
    return weighted(-torch.where(torch.isfinite(q), F.log_softmax(q, -1), 0), weights)


def soft_label_loss(q: Tensor, weights: Tensor) -> Tensor:
    """`soft_label_errors`, a mean over samples and dimensions.

    Of logits it is imitation with soft labels. Of values it is log Σ_m exp Q_m − the weighted Q of what was taken: the
    regulariser CQL(H) of Kumar et al. 2020 (arXiv 2006.04779, equation 4) in each dimension given the bins before it,
    the softmax conservatism that the Q-Transformer's paper compares with.
    """
    return soft_label_errors(q, weights).mean()
