"""A network that is a table: one number, or one histogram, per state and bins taken so far; and its exact training."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from qtx_ros.data.dataset import Windows
from qtx_ros.learn.methods import METHODS
from qtx_ros.learn.trainer import to_tensors
from qtx_ros.model.config import ModelConfig
from qtx_ros.model.encoder import Observer
from qtx_ros.model.heads import atom_edges, expected
from qtx_ros.model.policy import smallest

STILL = 1e-4  # largest change of a value in one round, at the end


class Table(nn.Module):
    """What the methods ask of a network, without approximation. The state's number is all that it sees."""

    history, config = 1, ModelConfig()  # no memory

    def __init__(self, states: int, bins: tuple[int, ...], critics: int = 1, atoms: int = 0, high: float = 1.0) -> None:
        super().__init__()
        self.encoder = Observer()  # how it encodes: all at once, in float32
        self.bins, self.atoms, self.high = bins, atoms, high
        draw = torch.Generator().manual_seed(0)
        shapes = [(states, math.prod(bins[:i]), n, *([atoms] if atoms else [])) for i, n in enumerate(bins)]
        tables = [[torch.rand(shape, generator=draw).double() for shape in shapes] for _ in range(critics)]
        self.tables = nn.ModuleList(nn.ParameterList(critic) for critic in tables)

    def instruct(self, tokens: Tensor) -> Tensor:
        return tokens[:, :1]

    def encode(self, frames: Tensor, state: Tensor, features: Tensor) -> Tensor:
        return state[:, None]  # [U, 1, 1]

    def context(self, ring: Tensor) -> Tensor:
        return ring.flatten(1, 2)

    def critic_outputs(self, context: Tensor, bins: Tensor) -> list[list[Tensor]]:
        """Of each critic and dimension [B, bins] or [B, bins, A]."""
        state, row, rows = context[:, -1, 0].long(), torch.zeros(len(context), dtype=torch.int64), []
        for i, count in enumerate(self.bins):
            rows.append(row)
            row = row * count + bins[:, i]
        return [[table[state, row] for table, row in zip(critic, rows, strict=True)] for critic in self.tables]

    def critic_q_values(self, context: Tensor, bins: Tensor) -> list[Tensor]:
        return [torch.stack([_padded(q, max(self.bins)) for q in rows], 1) for rows in self._numbers(context, bins)]

    @property
    def critics(self) -> list[nn.Module]:
        return list(self.tables)

    def critic_first_q_values(self, context: Tensor) -> list[Tensor]:
        start = torch.zeros(len(context), len(self.bins), dtype=torch.int64)
        return [q[:, 0] for q in self.critic_q_values(context, start)]

    def critic_logits(self, context: Tensor, bins: Tensor) -> list[tuple[Tensor, Tensor]]:
        widest, outputs = max(self.bins), self.critic_outputs(context, bins)
        full = [[nn.functional.pad(x, (0, 0, 0, widest - x.shape[1])) for x in rows] for rows in outputs]
        logits = [torch.stack(rows, 1) for rows in full]
        return list(zip(logits, self.critic_q_values(context, bins), strict=True))

    @property
    def atom_edges(self) -> Tensor:
        return atom_edges(self.atoms, (0.0, self.high)).double()

    def q_values(self, context: Tensor, bins: Tensor) -> Tensor:
        return smallest(self.critic_q_values(context, bins))

    def first_q_values(self, context: Tensor) -> Tensor:
        return self.q_values(context, torch.zeros(len(context), len(self.bins), dtype=torch.int64))[:, 0]

    @torch.no_grad()
    def values(self) -> list[Tensor]:
        """The smaller Q of the critics, [S, prefixes, bins] of each dimension."""
        tables = [[self._number(table) for table in critic] for critic in self.tables]
        return [smallest(list(found)) for found in zip(*tables, strict=True)]

    def _number(self, output: Tensor) -> Tensor:
        edges = self.atom_edges if self.atoms else None
        return output.clone() if edges is None else expected(output, (edges[1:] + edges[:-1]) / 2)

    def _numbers(self, context: Tensor, bins: Tensor) -> list[list[Tensor]]:
        return [[self._number(x) for x in rows] for rows in self.critic_outputs(context, bins)]


def _padded(q: Tensor, widest: int) -> Tensor:
    return nn.functional.pad(q, (0, widest - q.shape[1]), value=float("-inf"))


def whole_batch(data: Windows) -> dict[str, Tensor]:
    """All transitions in one batch, numbers in float64."""
    tensors = to_tensors(data.batch(np.arange(len(data))), torch.device("cpu"))
    return {name: x.double() if x.is_floating_point() else x for name, x in tensors.items()}


def solve(table: Table, target: Table, batch: dict[str, Tensor], config, rounds: int = 400) -> None:
    """Until nothing moves any more: the target becomes the table, and the table the exact minimum of the method's loss.

    The squared losses of a table are parabolas, one per entry: a Newton step ends at their bottom. The cross-entropy of
    an entry of weight w has the gradient w · (softmax − wanted), which says what is wanted.
    """
    weights = [w.clamp(min=1e-12) for w in second_derivatives(table, batch, config)]
    for _ in range(rounds):
        before = table.values()
        target.load_state_dict(table.state_dict())
        gradients = _gradients(table, target, batch, config)
        with torch.no_grad():
            for entry, gradient, weight in zip(table.parameters(), gradients, weights, strict=True):
                step = gradient / (weight[..., None] if table.atoms else weight)
                entry.copy_((entry.softmax(-1) - step).clamp(min=1e-12).log() if table.atoms else entry - step)
        if max((a - b).abs().max() for a, b in zip(before, table.values(), strict=True)) < STILL:
            return
    raise AssertionError(f"values still move after {rounds} rounds")


def second_derivatives(table: Table, batch: dict[str, Tensor], config) -> list[Tensor]:
    """How much each entry weighs in the loss: the second derivative of squared errors."""
    from dataclasses import replace

    plain = replace(config, loss="mse", model=replace(config.model, atoms=0))
    low, high = (Table(len(table.tables[0][0]), table.bins, len(table.tables)) for _ in range(2))
    with torch.no_grad():
        for a, b in zip(low.parameters(), high.parameters(), strict=True):
            a.zero_(), b.fill_(1.0)
    return [b - a for a, b in zip(*(_gradients(one, low, batch, plain) for one in (low, high)), strict=True)]


def _gradients(table: Table, target: Table, batch: dict[str, Tensor], config) -> tuple[Tensor, ...]:
    loss, _ = METHODS[config.method](table, target, batch, config)
    return torch.autograd.grad(loss, list(table.parameters()))
