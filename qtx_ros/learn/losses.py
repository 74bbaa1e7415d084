"""The TD loss and the conservative loss that a configuration asks for, put together from the rules."""

from __future__ import annotations

import torch
from torch import Tensor

from qtx_ros.learn import rules, rules_histogram, rules_smooth
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import QTransformer


def value_losses(
    model: QTransformer, context: Tensor, bins: Tensor, targets: Tensor, config: TrainConfig
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Q [B, D, M] of each critic; TD loss and conservative loss, means over the critics.

    context [B, N, W] of the online network; bins int64 [B, D] and targets [B, D], the same for all critics.
    """
    if config.loss == "hl_gauss":
        logits, values = zip(*model.critic_logits(context, bins), strict=True)
        edges = model.atom_edges
        pairs = [_of_histograms(x, q, bins, targets, edges, config) for x, q in zip(logits, values, strict=True)]
    else:
        values = model.critic_q_values(context, bins)
        pairs = [of_numbers(q, bins, targets, config) for q in values]
    td, conservative = (sum(parts) / len(pairs) for parts in zip(*pairs, strict=True))
    return list(values), td, conservative


def of_numbers(q: Tensor, bins: Tensor, targets: Tensor, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """TD loss and conservative loss of Q [B, D, M], taken bins int64 [B, D] and targets [B, D]."""
    if not config.smooth and config.conservative == "zero":
        return rules.temporal_difference_loss(q, bins, targets), rules.conservative_loss(q, bins, config.value_low)
    seen = rules_smooth.squared_errors(q, targets)
    if config.conservative == "gap":
        unseen = rules_smooth.excess_errors(q, (targets - config.gap).clamp(min=config.value_low))
    else:
        unseen = rules_smooth.squared_errors(q, torch.full_like(targets, config.value_low))
    return _weighted(q, bins, config, seen, unseen)


def _of_histograms(
    logits: Tensor, q: Tensor, bins: Tensor, targets: Tensor, edges: Tensor, config: TrainConfig
) -> tuple[Tensor, Tensor]:
    worst = torch.full_like(targets, config.value_low)
    errors = (rules_histogram.histogram_errors(logits, y, edges, config.atom_sigma) for y in (targets, worst))
    return _weighted(q, bins, config, *errors)


def _weighted(q: Tensor, bins: Tensor, config: TrainConfig, seen: Tensor, unseen: Tensor) -> tuple[Tensor, Tensor]:
    """Both losses from the errors [B, D, M] of every bin as one that was seen, and as one that was not."""
    present = torch.isfinite(q)
    weights = rules_smooth.ordinal_weights(bins, present, config.smooth)
    td = rules_smooth.weighted_loss(seen, weights)
    if config.conservative == "softmax":
        return td, rules_smooth.soft_label_loss(q, weights)
    return td, rules_smooth.weighted_loss(unseen, rules_smooth.untaken(weights, present))


def cloning_loss(logits: Tensor, bins: Tensor, smooth: float) -> Tensor:
    """Cross-entropy of the taken bins, with soft labels if `smooth`: logits [B, D, M], bins int64 [B, D]."""
    if not smooth:
        return rules.behaviour_cloning_loss(logits, bins)
    return rules_smooth.soft_label_loss(logits, rules_smooth.ordinal_weights(bins, torch.isfinite(logits), smooth))
