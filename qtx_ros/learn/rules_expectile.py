"""Implicit Q-learning (Kostrikov, Nair and Levine 2021, arXiv 2110.06169): never asks Q for an action outside the data.

Shapes: B samples, D dimensions, M bins; `labels` [B, D, M]: how far each bin counts as taken (rules_smooth.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from qtx_ros.learn.rules_smooth import soft_label_errors, squared_errors, weighted_loss

LARGEST_WEIGHT = 100.0  # of a sample in the policy's loss, as in the authors' code


def expectile_loss(value: Tensor, q: Tensor, expectile: float) -> Tensor:
    """|τ − [u < 0]| · u² with u = Q(s, a) − V(s), a mean (equation 5); value and q [B], expectile τ in (0, 1)."""
    lead = q - value
    return (torch.where(lead < 0, 1 - expectile, expectile) * lead.square()).mean()


def state_action_loss(q: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """½ (Q(s, a) − target)², a mean (equation 6): of the last dimension, given the bins taken before it.

    q and labels [B, D, M]; targets [B]: Σ γ^k r + γ^n (1 − terminal) V(s′).
    """
    return weighted_loss(squared_errors(q[:, -1:], targets[:, None]), labels[:, -1:])


def advantage_weights(advantage: Tensor, temperature: float) -> Tensor:
    """exp(β · advantage), at most `LARGEST_WEIGHT`: [B] (equation 7; β is `temperature`)."""
    return torch.exp(temperature * advantage).clamp(max=LARGEST_WEIGHT)


def weighted_cloning_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """−w · log π(a | s), a mean over samples and dimensions: logits and labels [B, D, M], weights [B]."""
    return (weights[:, None] * soft_label_errors(logits, labels)).mean()
