"""From a batch to the contexts of its states: each unique frame is encoded once per network.

A batch holds U unique frames and, for B transitions, the indices into them of the windows of s (`here`) and of s′
(`after`). A chunk is a run of transitions that share frames, instruction and augmentation; `owner` names the first one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qtx_ros.model.policy import QTransformer

Batch = dict[str, Tensor]  # as docs/architecture.md says


def online(model: QTransformer, batch: Batch) -> Tensor:
    """Contexts [B, N, W] of s. Only the frames of s are encoded."""
    return _of(model, batch, "here")


def online_after(model: QTransformer, batch: Batch) -> Tensor:
    """Contexts [B, N, W] of s′ by the online network; most methods do not need them."""
    return _of(model, batch, "after")


def _of(model: QTransformer, batch: Batch, windows: str) -> Tensor:
    used, places = batch[windows].unique(return_inverse=True)  # [U′], [B, T]
    return model.context(encode(model, batch, used)[places])


@torch.no_grad()
def target(network: QTransformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Contexts [B, N, W] of s and of s′, without gradients."""
    tokens = encode(network, batch)
    return network.context(tokens[batch["here"]]), network.context(tokens[batch["after"]])


def encode(network: QTransformer, batch: Batch, used: Tensor | None = None) -> Tensor:
    """Tokens [U, K, W] of all unique frames, or of those with the numbers `used`, int64 [U′]."""
    frames, state, owner = (batch[name] if used is None else batch[name][used] for name in ("frames", "state", "owner"))
    return network.encode(frames, state, features(network, batch["tokens"], owner))


def features(network: QTransformer, tokens: Tensor, owner: Tensor) -> Tensor:
    """Features [U, F] of the instructions tokens int64 [B, L] of frames whose chunks begin at owner, int64 [U]."""
    heads, chunk = owner.unique(return_inverse=True)
    return network.instruct(tokens[heads])[chunk]


def chunk_of(batch: Batch) -> Tensor:
    """The first transition of each transition's chunk, int64 [B]."""
    return batch["owner"][batch["here"][:, -1]]
