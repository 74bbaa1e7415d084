"""Q-learning, autoregressive over the dimensions: targets of the whole batch, and the terms beside the TD loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qtx_ros.errors import QtxError
from qtx_ros.learn import contexts, rules, rules_regularise
from qtx_ros.learn.contexts import Batch, Metrics
from qtx_ros.learn.losses import value_losses
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import QTransformer, smallest


def q_learning(model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig) -> tuple[Tensor, Metrics]:
    """Conservative autoregressive Q-learning."""
    bins, backup = batch["bins"], backups(target, batch, config)
    critics, td, conservative = value_losses(model, contexts.online(model, batch), bins, backup.targets, config)
    terms = {"td": td, "conservative": conservative, **_extra(model, critics, batch, backup, config)}
    taken = rules.taken(smallest(critics), bins).detach()
    return weighted(terms, config), {**terms, "q_taken": taken.mean(), "target": backup.targets.mean()}


def weighted(terms: dict[str, Tensor], config: TrainConfig) -> Tensor:
    """The loss: the sum of its terms, each with its weight."""
    weights = {"conservative": config.alpha, "margin": config.margin_weight, "consistency": config.consistency}
    return sum(weights.get(name, 1.0) * term for name, term in terms.items())


def conservative_q_learning(
    model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig
) -> tuple[Tensor, Metrics]:
    """CQL(H) of Kumar et al. 2020: the softmax regulariser with weight `alpha`, no Monte-Carlo bound."""
    return q_learning(model, target, batch, replace(config, conservative="softmax", monte_carlo=False))


@dataclass(frozen=True)
class Backup:
    """What the target network says of a batch."""

    targets: Tensor  # [B, D]
    assumed: Tensor  # int64 [B, D]: the bin whose value each target took, of the next dimension or of the first at s′
    rests: Tensor  # bool [B, D]: where the target is that value, and no larger one that the data or another bound know


@torch.no_grad()
def backups(target: QTransformer, batch: Batch, config: TrainConfig) -> Backup:
    """Targets and the bins they assume; each frame that s and s′ share is encoded once."""
    here, after, *near = contexts.target(target, batch)
    q_same = target.q_values(here, batch["bins"])  # [B, D, M]
    next_value, next_bin = target.first_q_values(after).max(-1)  # [B]
    backed_up = rules.bellman_targets(q_same, next_value, batch["reward"], batch["discount"], batch["terminal"])
    targets = backed_up
    if config.tighten:
        if not near:
            raise QtxError("training: tighten is true, but the batch lacks `near`: open its windows with near=True")
        value = target.first_q_values(near[0]).amax(-1)
        one_step = rules.backed_up(batch["near_reward"], config.gamma, batch["near_terminal"], value)
        targets = rules.tightened(targets, one_step)
    assumed = torch.cat([q_same[:, 1:].argmax(-1), next_bin[:, None]], 1)
    return bounded(backed_up, targets, assumed, batch, config)


def bounded(backed_up: Tensor, targets: Tensor, assumed: Tensor, batch: Batch, config: TrainConfig) -> Backup:
    """The targets, raised by the bounds that a configuration asks for, of what was `backed_up`; all [B, D]."""
    if config.completion:
        targets = rules.completion_bound(targets)
    if config.monte_carlo:
        targets = rules.lower_bound(targets, batch["returns"])
    rests = targets <= backed_up
    rests[:, -1] &= batch["terminal"] < 1
    return Backup(targets.clamp(config.value_low, config.value_high), assumed, rests)


def _extra(
    model: QTransformer, critics: list[Tensor], batch: Batch, backup: Backup, config: TrainConfig
) -> dict[str, Tensor]:
    """The terms that a configuration adds to conservative Q-learning."""
    terms = {}
    if config.margin_weight:
        margins = [rules_regularise.margin_loss(q, batch["bins"], batch["success"], config.margin) for q in critics]
        terms["margin"] = sum(margins) / len(margins)
    if config.consistency:
        after = model.first_q_values(contexts.online_after(model, batch))  # [B, M]
        decisions = torch.cat([smallest(critics)[:, 1:], after[:, None]], 1)  # [B, D, M]
        terms["consistency"] = rules_regularise.consistency_loss(decisions, backup.assumed, backup.rests)
    return terms
