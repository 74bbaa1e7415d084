"""Implicit Q-learning (Kostrikov, Nair and Levine 2021, arXiv 2110.06169): never asks Q for an action outside the data.

Shapes: B samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qtx_ros.learn.rules import backed_up

LARGEST_WEIGHT = 100.0  # of a sample in the policy's loss, as in the authors' code


def expectile_loss(value: Tensor, q: Tensor, expectile: float) -> Tensor:
    """|τ − [u < 0]| · u² with u = Q(s, a) − V(s), a mean (equation 5); value and q [B], expectile τ in (0, 1)."""
    lead = q - value
    return (torch.where(lead < 0, 1 - expectile, expectile) * lead.square()).mean()


def state_action_loss(q: Tensor, reward: Tensor, discount: Tensor, terminal: Tensor, next_value: Tensor) -> Tensor:
    """½ (Q(s, a) − Σ γ^k r − γ^n (1 − terminal) V(s′))², a mean (equation 6); all [B]."""
    return 0.5 * F.mse_loss(q, backed_up(reward, discount, terminal, next_value))


def advantage_weights(advantage: Tensor, temperature: float) -> Tensor:
    """exp(β · advantage), at most `LARGEST_WEIGHT`: [B] (equation 7; β is `temperature`)."""
    return torch.exp(temperature * advantage).clamp(max=LARGEST_WEIGHT)


def weighted_cloning_loss(logits: Tensor, bins: Tensor, weights: Tensor) -> Tensor:
    """−w · log π(a | s), a mean over samples and dimensions: logits [B, D, M], bins int64 [B, D], weights [B]."""
    losses = F.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none").unflatten(0, bins.shape)
    return (weights[:, None] * losses).mean()
