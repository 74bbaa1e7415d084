"""How an action becomes the tokens of the decoder: a bin for each dimension, or a cell and a bin inside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from qtx_ros.model.decoder import ActionDecoder, Walk
from qtx_ros.preprocess import cells


class PlainCode(nn.Module):
    """D dimensions are D tokens. The other codes keep its methods.

    Tokens are what learning rules see: Q [B, K, M] has a row per token, and `q.gather(-1, tokens[..., None])` is the Q
    of the taken ones. Choices are what a walk through the decoder returns. Here both are the bins.
    """

    def __init__(self, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.bins, self.sizes, self.places = bins, bins, len(bins)

    def to_tokens(self, bins: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens int64 [B, K] of bins int64 [B, D]."""
        return bins

    def to_bins(self, tokens: Tensor) -> Tensor:
        """Bins int64 [B, D] of tokens int64 [B, K]."""
        return tokens

    def forced(self, critic: ActionDecoder, context: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forced on tokens [B, K]: outputs [B, K, M] or logits [B, K, M, A], and which bins are present."""
        return critic.forced(context, tokens[:, : self.places - 1])

    def first(self, critic: ActionDecoder, context: Tensor) -> Tensor:
        """Q of the first token, [B, M]: its maximum is the value of the state."""
        return self.walk(critic, context).next(None)

    def walk(self, critic: ActionDecoder, context: Tensor) -> Walk:
        """A walk through the tokens."""
        return Walk(critic, context)

    def decision(self, choices: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bins int64 [B, D], their Q [B, D] and all Q [B, D, M] of a walk's choices [B, K] and Q [B, K, M]."""
        return choices, taken(q, choices), q


class CoarseCode(PlainCode):
    """A dimension of more than `base` bins is two tokens: a cell of at most `base` bins, then the bin inside it.

    By the backup the Q of a cell is that of its best bin, so 256 bins cost two rows of 16.
    """

    def __init__(self, bins: tuple[int, ...], base: int) -> None:
        super().__init__(bins)
        self.cells = [cells(count, base) for count in bins]  # number of cells and bins in each, of each dimension
        pieces = [(inside,) if many == 1 else (many, inside) for many, inside in self.cells]
        self.sizes = tuple(size for piece in pieces for size in piece)
        self.places = len(self.sizes)
        dimensions = [d for d, piece in enumerate(pieces) for _ in piece]  # to which the token of each place belongs
        widest = max(self.sizes)
        counts = torch.tensor(self.sizes)[:, None].repeat(1, widest)
        for place, (d, size) in enumerate(zip(dimensions, self.sizes, strict=True)):
            if place and d == dimensions[place - 1]:
                counts[place] = (bins[d] - size * torch.arange(widest)).clamp(1, size)
        self.register_buffer("counts", counts, persistent=False)  # [K, M]: bins of a token after each bin before it
        self.even = all(many * inside == count for (many, inside), count in zip(self.cells, bins, strict=True))

    def to_tokens(self, bins: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens int64 [B, K] of bins int64 [B, D]."""
        columns = []
        for (many, inside), bin_ in zip(self.cells, bins.unbind(1), strict=True):
            columns += [bin_] if many == 1 else [bin_ // inside, bin_ % inside]
        return torch.stack(columns, 1)

    def to_bins(self, tokens: Tensor) -> Tensor:
        """Bins int64 [B, D] of tokens int64 [B, K]."""
        columns = iter(tokens.unbind(1))
        bins = [next(columns) if many == 1 else next(columns) * inside + next(columns) for many, inside in self.cells]
        return torch.stack(bins, 1)

    def forced(self, critic: ActionDecoder, context: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forced on tokens [B, K]: outputs [B, K, M] or logits [B, K, M, A], and which bins are present."""
        before = tokens[:, :-1]
        return critic.forced(context, before, None if self.even else self._present(before))

    def _present(self, before: Tensor) -> Tensor:
        """Bins that are present, bool [B, K, M], after the tokens before each, int64 [B, K − 1]."""
        places = torch.arange(1, self.places, device=before.device)
        counts = torch.cat([self.counts[:1, :1].expand(len(before), 1), self.counts[places, before]], 1)  # [B, K]
        return torch.arange(self.counts.shape[1], device=before.device) < counts[..., None]

    def walk(self, critic: ActionDecoder, context: Tensor) -> Walk:
        """A walk through cells and bins."""
        return Walk(critic, context) if self.even else CoarseWalk(critic, context, self.counts)

    def decision(self, choices: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bins int64 [B, D], their Q [B, D] and all Q [B, D, M].

        The bins of a cell that was not chosen show the cell's Q, moved by what the chosen cell's Q differs from its
        best bin's: nothing once that backup is learned. So the greedy bin is the best of its row, and leads it by as
        much as in the choice that was closest.
        """
        bins = self.to_bins(choices)
        rows, place, widest = [], 0, max(self.bins)
        for (many, inside), count in zip(self.cells, self.bins, strict=True):
            row = q[:, place, :count]
            if many > 1:
                row = _whole_row(q[:, place, :many], q[:, place + 1, :inside], choices[:, place])[:, :count]
            rows.append(functional.pad(row, (0, widest - count), value=float("-inf")))
            place += 1 if many == 1 else 2
        q_all = torch.stack(rows, 1)
        return bins, taken(q_all, bins), q_all


class CoarseWalk(Walk):
    """A walk where the last cell of a dimension may have fewer bins than the others."""

    def __init__(self, decoder: ActionDecoder, context: Tensor, counts: Tensor) -> None:
        super().__init__(decoder, context)
        self.counts = counts

    def present(self, previous: Tensor | None) -> Tensor | None:
        """Bins of the next token, bool [B, 1, M]."""
        if previous is None:
            return None
        bins = torch.arange(self.counts.shape[1], device=previous.device)
        return (bins < self.counts[self.place, previous, None])[:, None]


def _whole_row(coarse: Tensor, fine: Tensor, cell: Tensor) -> Tensor:
    """Q [B, cells · inside] of all bins, from those of the cells [B, cells] and of the bins inside cell int64 [B]."""
    others = fine.amax(1, keepdim=True) + coarse - coarse.gather(1, cell[:, None])  # [B, cells]
    chosen = torch.arange(coarse.shape[1], device=cell.device) == cell[:, None]  # [B, cells]
    return torch.where(chosen[..., None], fine[:, None], others[..., None]).flatten(1)


def taken(q: Tensor, choices: Tensor) -> Tensor:
    """Q [B, K] of the choices int64 [B, K], of Q [B, K, M]."""
    return q.gather(-1, choices[..., None])[..., 0]
