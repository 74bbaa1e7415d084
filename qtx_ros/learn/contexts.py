"""From a batch to the contexts of its states: each unique frame is encoded once per network.

A batch holds U unique frames and, for B transitions, the indices into them of the windows of s (`here`) and of s′
(`after`). A chunk is a run of transitions that share frames, instruction and augmentation; `owner` names the first one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from qtx_ros.model.policy import QTransformer

Batch = dict[str, Tensor]  # as docs/architecture.md says
Metrics = dict[str, Tensor]  # what a method tells of a batch, scalars
ENCODED = "encoded"  # in a batch whose frames of s the online network has encoded: their tokens [U′, K, W]
WINDOWS = ("here", "after", "near")  # of a batch
SHARED = 0.8  # of the windows are different at most, else looking for those that are equal costs more than it saves


def online(model: QTransformer, batch: Batch) -> Tensor:
    """Contexts [B, N, W] of s. Only the frames of s are encoded."""
    return _of(model, batch, "here")


def online_after(model: QTransformer, batch: Batch) -> Tensor:
    """Contexts [B, N, W] of s′ by the online network; most methods do not need them."""
    return _of(model, batch, "after")


def _of(model: QTransformer, batch: Batch, windows: str) -> Tensor:
    used, places = batch[windows].unique(return_inverse=True)  # [U′], [B, T]
    known = batch.get(ENCODED) if windows == "here" else None
    tokens = encode(model, batch, used) if known is None else known
    return model.context(ring(model, batch, tokens[places], windows))


@torch.no_grad()
def target(network: QTransformer, batch: Batch) -> tuple[Tensor, ...]:
    """Contexts [B, N, W] of s, of s′ and, if the batch tells it, of one step after s, without gradients.

    In a chunk s′ of one transition is s of another.
    """
    tokens, names = encode(network, batch), [name for name in WINDOWS if name in batch]
    rings = [ring(network, batch, tokens[batch[name]], name) for name in names]
    last, places = torch.cat([batch[name][:, -1] for name in names]).unique(return_inverse=True)  # its last frame
    if len(last) > SHARED * len(places) or network.config.memory:  # tells a window apart, but not what was before it
        return tuple(network.context(one) for one in rings)
    any_of = torch.empty_like(last).scatter_(0, places, torch.arange(len(places), device=last.device))
    return network.context(torch.cat(rings)[any_of])[places].split(len(batch["here"]))


def ring(network: QTransformer, batch: Batch, frames: Tensor, windows: str) -> Tensor:
    """The ring of the frames [B, T, K, W] of `windows`, one of `WINDOWS`, with the steps that the network remembers."""
    steps = network.config.memory
    if not steps:
        return frames
    total = batch["past_bins"].shape[1]
    first = {"here": 0, "near": 1}.get(windows, total - steps)
    part = slice(first, first + steps)
    return network.with_past(frames, batch["past_state"][:, part], batch["past_bins"][:, part])


def encode(network: QTransformer, batch: Batch, used: Tensor | None = None) -> Tensor:
    """Tokens [U, K, W] of all unique frames, or of those with the numbers `used`, int64 [U′].

    With `recompute` in parts of that many. The way back starts with the last part, so what it needs is kept.
    """
    frames, state, owner = (batch[name] if used is None else batch[name][used] for name in ("frames", "state", "owner"))
    inputs = frames, state, features(network, batch["tokens"], owner)
    size = network.encoder.at_once
    if not size or len(frames) <= size:
        return _encode(network, *inputs)
    first = len(frames) % size
    sizes = [first] * (first > 0) + [size] * (len(frames) // size)
    *others, last = zip(*(part.split(sizes) for part in inputs), strict=True)
    tokens = [checkpoint(_encode, network, *part, use_reentrant=False) for part in others]
    return torch.cat([*tokens, _encode(network, *last)])


def _encode(network: QTransformer, frames: Tensor, state: Tensor, given: Tensor) -> Tensor:
    """Tokens float32 [U, K, W], in mixed precision if the trainer says so."""
    with torch.autocast(frames.device.type, torch.bfloat16, enabled=network.encoder.bfloat16):
        tokens = network.encode(frames, state, given)
    return tokens.float()


def features(network: QTransformer, tokens: Tensor, owner: Tensor) -> Tensor:
    """Features [U, F] of the instructions tokens int64 [B, L] of frames whose chunks begin at owner, int64 [U]."""
    heads, chunk = owner.unique(return_inverse=True)
    return network.instruct(tokens[heads])[chunk]
