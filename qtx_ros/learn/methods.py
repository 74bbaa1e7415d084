"""Learning methods: how a batch becomes a loss. A new one is one function and one line in `METHODS`.

A batch's `bins` are the tokens of the network's code, int64 [B, D]: D counts tokens here and in the rules.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from qtx_ros.learn import contexts
from qtx_ros.learn.contexts import Batch, Metrics
from qtx_ros.learn.losses import cloning_loss
from qtx_ros.learn.methods_iql import implicit_q_learning
from qtx_ros.learn.methods_q import conservative_q_learning, q_learning
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import QTransformer


def behaviour_cloning(
    model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig
) -> tuple[Tensor, Metrics]:
    """Imitation of the taken bins; the network's outputs are logits, not values."""
    return _imitation(model, contexts.online(model, batch), batch["bins"], config)


def decision_transformer(
    model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig
) -> tuple[Tensor, Metrics]:
    """Imitation given the return to come (Chen et al. 2021, arXiv 2106.01345): undiscounted, 1 in a success, else 0.

    The deployed policy wants 1. Unlike the original it sees no past actions beside the frames of its history.
    """
    context = model.wanted.replace(contexts.online(model, batch), batch["success"].float())
    return _imitation(model, context, batch["bins"], config)


def _imitation(model: QTransformer, context: Tensor, bins: Tensor, config: TrainConfig) -> tuple[Tensor, Metrics]:
    logits = model.q_values(context, bins)
    return cloning_loss(logits, bins, config.smooth), {"accuracy": (logits.argmax(-1) == bins).float().mean()}


METHODS: dict[str, Callable[..., tuple[Tensor, Metrics]]] = {
    "q": q_learning,
    "bc": behaviour_cloning,
    "iql": implicit_q_learning,
    "cql": conservative_q_learning,
    "dt": decision_transformer,
}
