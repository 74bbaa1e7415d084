"""Learning methods: how a batch becomes a loss. A new one is one function and one line in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qtx_ros.learn import rules
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import QTransformer, smallest

Batch = dict[str, Tensor]  # as docs/architecture.md says, frames [B, T + n, …]
Metrics = dict[str, Tensor]


def q_learning(model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig) -> tuple[Tensor, Metrics]:
    """Conservative autoregressive Q-learning."""
    bins = batch["bins"]
    critics = model.critic_q_values(model.context(_online_ring(model, batch)), bins)  # [B, D, M] each
    targets = q_targets(target, batch, config)  # [B, D], the same for all critics
    td = sum(rules.temporal_difference_loss(q, bins, targets) for q in critics) / len(critics)
    conservative = sum(rules.conservative_loss(q, bins, config.value_low) for q in critics) / len(critics)
    loss = td + config.alpha * conservative
    taken = rules.taken(smallest(critics), bins).detach()
    return loss, {"td": td, "conservative": conservative, "q_taken": taken.mean(), "target": targets.mean()}


def behaviour_cloning(
    model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig
) -> tuple[Tensor, Metrics]:
    """Imitation of the taken bins; the network's outputs are logits, not values."""
    q = model.q_values(model.context(_online_ring(model, batch)), batch["bins"])
    loss = rules.behaviour_cloning_loss(q, batch["bins"])
    return loss, {"accuracy": (q.argmax(-1) == batch["bins"]).float().mean()}


METHODS: dict[str, Callable[..., tuple[Tensor, Metrics]]] = {"q": q_learning, "bc": behaviour_cloning}


@torch.no_grad()
def q_targets(target: QTransformer, batch: Batch, config: TrainConfig) -> Tensor:
    """Targets [B, D] from the target network; each frame that s and s′ share is encoded once."""
    here, after = _target_rings(target, batch)
    q_same = target.q_values(target.context(here), batch["bins"])  # [B, D, M]
    next_value = target.first_q_values(target.context(after)).amax(-1)  # [B]
    targets = rules.bellman_targets(q_same, next_value, batch["reward"], batch["discount"], batch["terminal"])
    if config.monte_carlo:
        targets = rules.lower_bound(targets, batch["returns"])
    return targets.clamp(config.value_low, config.value_high)


def encode_ring(model: QTransformer, frames: Tensor, state: Tensor, features: Tensor) -> Tensor:
    """Tokens [B, N, K, W] of N frames uint8 [B, N, C, H, W, 3] with states [B, N, S] and features [B, F]."""
    count = frames.shape[1]
    tokens = model.encode(frames.flatten(0, 1), state.flatten(0, 1), features.repeat_interleave(count, 0))
    return tokens.unflatten(0, (-1, count))


def _online_ring(model: QTransformer, batch: Batch) -> Tensor:
    steps = slice(0, model.history)
    return encode_ring(model, batch["frames"][:, steps], batch["state"][:, steps], model.instruct(batch["tokens"]))


def _target_rings(target: QTransformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Rings [B, T, K, W] of s (the first T frames) and s′ (the last T), without the frames in between."""
    history, total = target.history, batch["frames"].shape[1]
    used = sorted({*range(history), *range(total - history, total)})
    ring = encode_ring(target, batch["frames"][:, used], batch["state"][:, used], target.instruct(batch["tokens"]))
    return ring[:, :history], ring[:, -history:]
