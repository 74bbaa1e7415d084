"""Dimensions in another order: a random one for each sample in training, or one that a first token chooses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from qtx_ros.model.codes import PlainCode, taken
from qtx_ros.model.decoder import ActionDecoder, Walk


class OrderedCode(PlainCode):
    """Tokens that name their dimension: dimension · M + bin, so a batch can hold another order in each row.

    The token to be predicted is told its dimension by that dimension's position embedding; its Q [B, K, D · M] are −inf
    outside it. Decisions take the dimensions in their natural order, so the value of a state is the best first bin of
    dimension 0: the value of the policy that acts. `predicted` puts one more token in front, as if the order were a
    dimension D of its own with D bins; bin d: dimension d comes first, the others follow in their natural order. It is
    learned by the same backup, and its best bin is taken. An order is no action, so conservatism has nothing to say
    about those that were not drawn: they are −inf where a token is forced.
    """

    def __init__(self, bins: tuple[int, ...], predicted: bool) -> None:
        super().__init__(bins)
        count = len(bins)
        self.predicted = predicted
        if predicted:
            self.sizes, self.places = (*bins, count), count + 1
        self.widest = max(self.sizes)
        orders = torch.tensor([[d, *(i for i in range(count) if i != d)] for d in range(count)])
        self.register_buffer("orders", orders, persistent=False)  # [D, D]: dimension at each place, of each choice
        self.register_buffer("ranks", orders.argsort(1), persistent=False)  # [D, D]: place of each dimension

    def to_tokens(self, bins: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens int64 [B, K] of bins int64 [B, D], each row in a random order: any, or one of those predicted."""
        batch, count = bins.shape
        device = generator.device if generator else "cpu"
        if not self.predicted:
            order = torch.rand(batch, count, generator=generator, device=device).argsort(1).to(bins.device)
            return self.join(order, bins)
        choice = torch.randint(count, (batch,), generator=generator, device=device).to(bins.device)
        return torch.cat([count * self.widest + choice[:, None], self.join(self.orders[choice], bins)], 1)

    def join(self, order: Tensor, bins: Tensor) -> Tensor:
        """Tokens int64 [B, D] of bins int64 [B, D] in an order, int64 [B, D]."""
        return order * self.widest + bins.gather(1, order)

    def to_bins(self, tokens: Tensor) -> Tensor:
        """Bins int64 [B, D] of tokens int64 [B, K]."""
        tokens = tokens[:, self.places - len(self.bins) :]
        order = (tokens // self.widest).argsort(1)
        return (tokens % self.widest).gather(1, order)

    def forced(self, critic: ActionDecoder, context: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forced on tokens [B, K]: outputs [B, K, D · M (, A)], present those of each token's dimension."""
        dimensions, bins = tokens // self.widest, tokens % self.widest
        before = critic.embedded(critic.offset[dimensions[:, :-1]] + bins[:, :-1])  # [B, K − 1, W]
        start = critic.start_token(context)
        x = torch.cat([start, start + before], 1) + critic.position[dimensions]  # [B, K, W]
        x, _ = critic.run(x, critic.given(context), [None] * len(critic.blocks))
        own = dimensions[..., None] == torch.arange(len(self.sizes), device=tokens.device)  # [B, K, D]
        present = (own[..., None] & critic.present).flatten(2)  # [B, K, D · M]
        if self.predicted:
            drawn = torch.arange(present.shape[-1], device=tokens.device) == tokens[:, :1]  # [B, D · M]
            present = torch.cat([drawn[:, None], present[:, 1:]], 1)
        return critic.all_outputs(x).flatten(2, 3), present

    def first(self, critic: ActionDecoder, context: Tensor) -> Tensor:
        """Q of the first token, [B, D · M]: of the natural order's first dimension, or of the orders."""
        q, dimension = super().first(critic, context), len(self.sizes) - 1 if self.predicted else 0
        after = self.widest * (len(self.sizes) - 1 - dimension)
        return functional.pad(q, (self.widest * dimension, after), value=float("-inf"))

    def walk(self, critic: ActionDecoder, context: Tensor) -> Walk:
        """A walk in the natural order, or in the one that it predicts."""
        return PredictedWalk(critic, context, self) if self.predicted else Walk(critic, context)

    def decision(self, choices: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bins int64 [B, D], their Q [B, D] and all Q [B, D, M], dimensions in their natural order."""
        if not self.predicted:
            return super().decision(choices, q)
        ranks = self.ranks[choices[:, 0]]  # [B, D]
        bins = choices[:, 1:].gather(1, ranks)
        q = q[:, 1:, : max(self.bins)]
        q = q.gather(1, ranks[..., None].expand(-1, -1, q.shape[-1]))
        return bins, taken(q, bins), q


class PredictedWalk(Walk):
    """First the order, then the dimensions in that order."""

    def __init__(self, decoder: ActionDecoder, context: Tensor, code: OrderedCode) -> None:
        super().__init__(decoder, context)
        self.orders, self.order = code.orders, None

    def next(self, previous: Tensor | None) -> Tensor:
        """Q of the next token, [B, M], after the bin of the one before it, int64 [B]."""
        decoder, count = self.decoder, len(self.orders)
        if previous is None:
            q, self.past = decoder.step(self.start, count, self.past, self.context)
            self.place = 1
            return q
        if self.place == 1:
            self.order, before = self.orders[previous], torch.full_like(previous, count)
        else:
            before = self.order[:, self.place - 2]
        dimension = self.order[:, self.place - 1]  # [B]
        taken_before = decoder.embedded(decoder.offset[before] + previous)  # [B, W]
        x = self.start + (taken_before + decoder.position[dimension])[:, None]
        x, self.past = decoder.run(x, self.context, self.past)
        q = decoder.values(decoder.all_outputs(x)[:, 0], decoder.present)  # [B, D, M]
        self.place += 1
        return q.gather(1, dimension[:, None, None].expand(-1, 1, q.shape[-1]))[:, 0]

    def select(self, rows: Tensor) -> None:
        """Go on from other rows of the batch, int64 [B′]."""
        super().select(rows)
        self.order = None if self.order is None else self.order[rows]
