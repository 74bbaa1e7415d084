"""Implicit Q-learning on the shared network: critics, a value of the state, and an actor that decides."""

from __future__ import annotations

import torch
from torch import Tensor

from qtx_ros.learn import contexts, rules
from qtx_ros.learn import rules_expectile as expectile
from qtx_ros.learn.contexts import Batch, Metrics
from qtx_ros.learn.rules_smooth import ordinal_weights
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import QTransformer, smallest


def implicit_q_learning(
    model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig
) -> tuple[Tensor, Metrics]:
    """Kostrikov et al. 2021 with an autoregressive policy. Q(s, a) is the last dimension's, given all bins before it.

    Differs in two things from the authors': frames are encoded for Q, V and policy together, and V(s′) is that of the
    slow target network, which has encoded s′ anyway.
    """
    bins, context = batch["bins"], contexts.online(model, batch)
    q_data, next_value = _from_target(target, batch)
    value = model.state_value(context)  # [B]
    value_loss = expectile.expectile_loss(value, q_data, config.expectile)
    targets = rules.backed_up(batch["reward"], batch["discount"], batch["terminal"], next_value)
    critics, logits = model.critic_q_values(context, bins), model.q_values(context, bins)
    labels = ordinal_weights(bins, torch.isfinite(logits), config.smooth)
    q_loss = sum(expectile.state_action_loss(q, labels, targets) for q in critics) / len(critics)
    weights = expectile.advantage_weights(q_data - value.detach(), config.temperature)
    policy_loss = expectile.weighted_cloning_loss(logits, labels, weights)
    terms = {"value_loss": value_loss, "q_loss": q_loss, "policy_loss": policy_loss}
    taken = whole_action(smallest(critics), bins).detach()
    return sum(terms.values()), {**terms, "value": value.mean(), "q_taken": taken.mean()}


def whole_action(q: Tensor, bins: Tensor) -> Tensor:
    """Q(s, a) [B] of the whole action: the last dimension's in Q [B, D, M], at the taken bins [B, D]."""
    return rules.taken(q[:, -1:], bins[:, -1:])[:, 0]


@torch.no_grad()
def _from_target(target: QTransformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Q of the data's actions and V(s′) by the target network, [B] each."""
    here, after = contexts.target(target, batch)
    critics = [whole_action(q, batch["bins"]) for q in target.critic_q_values(here, batch["bins"])]
    return smallest(critics), target.state_value(after)
