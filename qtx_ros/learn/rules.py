"""Learning rules as pure functions of tensors: targets and losses, no networks, no state.

Shapes: B samples, D action dimensions, M bins of the widest dimension (absent bins hold −inf).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def bellman_targets(
    q_same: Tensor, next_value: Tensor, reward: Tensor, discount: Tensor, terminal: Tensor
) -> Tensor:
    """Autoregressive Bellman targets [B, D].

    Dimension i < D: the best Q of dimension i + 1 at the same state, given the bins taken so far, without reward or
    discount. Dimension D: reward + discount · (1 − terminal) · value of the next state.

    q_same [B, D, M]: target network at s along the taken bins; next_value [B]: best first-dimension Q at s′;
    reward [B]: Σ γ^i r over n steps; discount [B]: γ^n; terminal [B]: 1 where nothing follows.
    """
    last = backed_up(reward, discount, terminal, next_value)  # [B]
    return torch.cat([q_same[:, 1:].amax(-1), last[:, None]], 1)


def backed_up(reward: Tensor, discount: Tensor | float, terminal: Tensor, next_value: Tensor) -> Tensor:
    """Reward + discount · (1 − terminal) · value of the next state, all [B]: what the taken action is worth."""
    return reward + discount * (1 - terminal) * next_value


def lower_bound(targets: Tensor, returns: Tensor) -> Tensor:
    """Targets [B, D], at least the return-to-go [B] that each transition really had."""
    return torch.maximum(targets, returns[:, None])


def tightened(targets: Tensor, one_step: Tensor) -> Tensor:
    """Targets [B, D] of n steps, the last dimension's at least that of one step, [B]: r + γ · (1 − terminal) · V(s′).

    n steps carry values quickly but blame an action for what the data did after it; one step does not. Where nothing
    is left to chance both are no more than the best there is, so the larger one is closer to it ("optimality
    tightening", He et al. 2017, arXiv 1611.01606). Under chance it hopes for luck: of rewards 0 and 1 at even odds,
    worth 0.5, the targets are 0.5 and 1, so 0.75 in the mean.
    """
    return torch.cat([targets[:, :-1], torch.maximum(targets[:, -1], one_step)[:, None]], 1)


def completion_bound(targets: Tensor) -> Tensor:
    """Targets [B, D], at least that of the last dimension.

    max over a_{i+1} … a_D of Q(s, a_1 … a_i, ·) is no less than Q(s, a_1 … a_D) of the action that was taken. So what
    the next state is worth reaches all dimensions in one step instead of D. Like the Monte-Carlo bound it is exact
    where the same action leads to the same state, and optimistic where chance decides.
    """
    return torch.maximum(targets, targets[:, -1:])


def temporal_difference_loss(q: Tensor, bins: Tensor, targets: Tensor) -> Tensor:
    """½ (Q − target)² of the taken bins, mean over samples and dimensions."""
    return 0.5 * F.mse_loss(taken(q, bins), targets)


def conservative_loss(q: Tensor, bins: Tensor, minimum: float = 0.0) -> Tensor:
    """½ (Q − minimum)² of the present bins that were not taken: their mean, over dimensions and samples."""
    unseen = torch.isfinite(q).scatter(-1, bins[..., None], False)  # [B, D, M]
    excess = torch.where(unseen, q - minimum, 0)
    return 0.5 * (excess.square().sum(-1) / unseen.sum(-1).clamp(min=1)).mean()  # a token may have one bin only


def behaviour_cloning_loss(q: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy of the taken bins [B, D] with Q [B, D, M] read as logits."""
    return F.cross_entropy(q.flatten(0, 1), bins.flatten())


def taken(q: Tensor, bins: Tensor) -> Tensor:
    """Q of the taken bins, [B, D] from Q [B, D, M] and bins [B, D]."""
    return q.gather(-1, bins[..., None])[..., 0]
