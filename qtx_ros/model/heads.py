"""From a token of the decoder to the Q of its bins: a number per bin, or a histogram over values per bin (HL-Gauss)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qtx_ros.model.config import ModelConfig

SIGMA = 0.75  # standard deviation of a smoothed target, in widths of an atom (Farebrother et al. 2024)
REACH = 3  # standard deviations that the atoms reach beyond the range of values, so that its ends are no special case


class QHead(nn.Module):
    """Linear heads of K tokens with their own number of bins, or with `atoms` logits for each bin.

    `add_head` makes the parameters, after those of the subclass. M is the widest token's number of bins, A the atoms.
    """

    norm: nn.LayerNorm  # the subclass makes it
    bin_embedding: nn.Embedding

    def add_head(self, sizes: tuple[int, ...], config: ModelConfig) -> None:
        """Heads of tokens with `sizes` bins each."""
        count, widest, width = len(sizes), max(sizes), config.width
        atoms = (config.atoms,) if config.atoms else ()
        self.tied_scale = width**0.5 if config.tie_bins else None
        if config.tie_bins:
            self.head = None
            nn.init.normal_(self.bin_embedding.weight, std=0.3 / width**0.5)
        else:
            self.head = nn.Parameter(torch.randn(count, width, widest, *atoms) * 0.3 / width**0.5)
        self.head_bias = nn.Parameter(torch.zeros(count, widest, *atoms))
        self.value_head = nn.Parameter(torch.zeros(count, width, 1, *atoms)) if config.dueling else None
        self.register_buffer("offset", torch.tensor([0, *sizes]).cumsum(0)[:count], persistent=False)  # [K]
        self.register_buffer("present", torch.arange(widest) < torch.tensor(sizes)[:, None], persistent=False)  # [K, M]
        rows = (self.offset[:, None] + torch.arange(widest)).clamp(max=sum(sizes) - 1)
        self.register_buffer("rows", rows if config.tie_bins else None, persistent=False)  # [K, M] of bin_embedding
        centres = atom_centres(config.atoms, config.value_range) if config.atoms else None
        self.register_buffer("centres", centres, persistent=False)  # [A]

    def outputs(self, x: Tensor, first: int, present: Tensor) -> Tensor:
        """Outputs [B, P, M], or logits [B, P, M, A], from tokens [B, P, W] of the places first … first + P − 1.

        present: bool, [P, M] or [B, P, M]; what absent bins get here has no meaning.
        """
        part = slice(first, first + x.shape[1])
        x = self.norm(x)
        q = torch.einsum("bpw,pwm...->bpm...", x, self._heads()[part]) + self.head_bias[part]
        if self.value_head is None:
            return q
        value = torch.einsum("bpw,pwm...->bpm...", x, self.value_head[part])
        return q - self._mean(q, present) + value

    def all_outputs(self, x: Tensor) -> Tensor:
        """Outputs [B, P, K, M], or logits [B, P, K, M, A], of every head for each token [B, P, W]."""
        x = self.norm(x)
        q = torch.einsum("bpw,kwm...->bpkm...", x, self._heads()) + self.head_bias
        if self.value_head is None:
            return q
        return q - self._mean(q, self.present) + torch.einsum("bpw,kwm...->bpkm...", x, self.value_head)

    def _heads(self) -> Tensor:
        """[K, W, M], or [K, W, M, A]; tied: the embedding of each bin."""
        return self.head if self.rows is None else self.bin_embedding.weight[self.rows].transpose(1, 2)

    def embedded(self, bins: Tensor) -> Tensor:
        """[..., W] of bins int64 [...] of all tokens; tied: √W times what the head is (Vaswani et al. 2017, 3.4)."""
        x = self.bin_embedding(bins)
        return x if self.tied_scale is None else x * self.tied_scale

    def _mean(self, q: Tensor, present: Tensor) -> Tensor:
        """Mean over the present bins, kept as one bin: [..., 1] of [..., M], or [..., 1, A] of logits [..., M, A]."""
        bins, mask = (-1, present) if self.centres is None else (-2, present[..., None])
        return (q * mask).sum(bins, keepdim=True) / mask.sum(bins, keepdim=True)

    def values(self, outputs: Tensor, present: Tensor) -> Tensor:
        """Q [B, P, M] from `outputs`; absent bins −inf."""
        q = outputs if self.centres is None else expected(outputs, self.centres)
        return q.masked_fill(~present, float("-inf"))


def expected(logits: Tensor, centres: Tensor) -> Tensor:
    """Q [...] of logits [..., A]: the mean of the histogram softmax(logits) over the centres [A]."""
    return logits.softmax(-1) @ centres


def atom_edges(atoms: int, value_range: tuple[float, float]) -> Tensor:
    """Edges [A + 1] of equal bins of value. They reach `REACH` standard deviations of a target beyond the range."""
    low, high = value_range
    width = (high - low) / (atoms - 2 * REACH * SIGMA)  # of an atom
    return torch.linspace(low - REACH * SIGMA * width, high + REACH * SIGMA * width, atoms + 1)


def atom_centres(atoms: int, value_range: tuple[float, float]) -> Tensor:
    """Centres [A] of the bins of value."""
    edges = atom_edges(atoms, value_range)
    return (edges[1:] + edges[:-1]) / 2
