"""Classifier-free guidance: the Q-values of a policy, moved away from what it would want without an instruction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qtx_ros.model.beam import decide, margin
from qtx_ros.model.decoder import Walk
from qtx_ros.model.encoder import Observer
from qtx_ros.model.policy import ModelConfig, QTransformer, smallest


class GuidedPolicy(nn.Module):
    """A trained `QTransformer` that decides by Q₀ + scale · (Q − Q₀), in each dimension before its bin is taken.

    Q₀ is the same network's Q under the null condition, the empty instruction. The instruction acts inside the frame
    encoder, so every frame is encoded under both conditions: features [B, 2F] and ring [B, T, 2K, W] hold the
    instruction's first, then the null condition's. At scale 1 the decisions are the network's own, bit for bit.
    """

    def __init__(self, model: QTransformer, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale
        self.config: ModelConfig = model.config
        self.bins, self.history, self.cameras = model.bins, model.history, model.cameras

    @property
    def encoder(self) -> Observer:
        """The frame encoder, with the statistics of the data."""
        return self.model.encoder

    conditions = 2  # under which each frame is encoded

    @property
    def ring_shape(self) -> tuple[int, int, int]:
        """[T, 2K, W]."""
        history, tokens, width = self.model.ring_shape
        return history, 2 * tokens, width

    @property
    def feature_size(self) -> int:
        """2F."""
        return 2 * self.model.feature_size

    def instruct(self, tokens: Tensor) -> Tensor:
        """Features [B, 2F] from int64 [B, L]."""
        return torch.cat([self.model.instruct(tokens), self.model.instruct(torch.zeros_like(tokens))], -1)

    def encode(self, frames: Tensor, state: Tensor, features: Tensor) -> Tensor:
        """Tokens [B, 2K, W] of one tick: frames uint8 [B, C, H, W, 3], raw state [B, S], features [B, 2F]."""
        return torch.cat([self.model.encode(frames, state, one) for one in features.chunk(2, -1)], 1)

    def look(self, frames: Tensor, features: Tensor) -> Tensor:
        """What `encode` knows without the state: tokens [B, 2 · C · P, W], P of a picture under one condition."""
        return torch.cat([self.model.look(frames, one) for one in features.chunk(2, -1)], 1)

    def join(self, pictures: Tensor, state: Tensor, features: Tensor) -> Tensor:
        """The rest of `encode`: tokens [B, 2K, W] from those of all pictures [B, 2 · C · P, W], state and features."""
        both = zip(pictures.chunk(2, 1), features.chunk(2, -1), strict=True)
        return torch.cat([self.model.join(part, state, one) for part, one in both], 1)

    @property
    def tokens(self) -> int:
        """2K."""
        return 2 * self.model.tokens

    def push(self, newest: Tensor, ring: Tensor, first: Tensor) -> Tensor:
        """The ring [B, T, 2K, W] a tick later, with the newest frame's tokens [B, 2K, W] last."""
        both = zip(newest.chunk(2, 1), ring.chunk(2, 2), strict=True)
        return torch.cat([self.model.push(part, one, first) for part, one in both], 2)

    def store(self, ring: Tensor, state: Tensor, bins: Tensor) -> Tensor:
        """The ring with this tick's step, raw state [B, S] and bins int64 [B, D]."""
        return torch.cat([self.model.store(one, state, bins) for one in ring.chunk(2, 2)], 2)

    def context(self, ring: Tensor) -> Tensor:
        """Context tokens [B, 2 · T · K, W] of the ring [B, T, 2K, W]."""
        return torch.cat([self.model.context(one) for one in ring.chunk(2, 2)], 1)

    def q_values(self, context: Tensor, bins: Tensor) -> Tensor:
        """Guided Q [B, D, M], teacher forced on the taken bins, int64 [B, D]; absent bins −inf."""
        return guide(*(self.model.q_values(one, bins) for one in context.chunk(2, 1)), self.scale)

    def decode(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best bins found on the guided Q, int64 [B, D], their guided Q [B, D], and all guided Q [B, D, M]."""
        return decide(self.model.code, self._walks(context), self._combine, self.config.beam)

    def margin(self, context: Tensor) -> Tensor:
        """The smallest difference of guided Q, [B], between what `decode` chose and what it did not."""
        return margin(self.model.code, self._walks(context), self._combine, self.config.beam)

    def _walks(self, context: Tensor) -> list[Walk]:
        return [walk for one in context.chunk(2, 1) for walk in self.model.walks(one)]

    def _combine(self, values: list[Tensor]) -> Tensor:
        count = len(self.model.deciders)
        return guide(smallest(values[:count]), smallest(values[count:]), self.scale)


def guide(q: Tensor, null: Tensor, scale: float) -> Tensor:
    """null + scale · (q − null), of any shape, written so that scale 1 gives q itself; what is −inf stays −inf."""
    return torch.where(torch.isinf(q), q, q + (scale - 1) * (q - null))


def inference(model: QTransformer) -> QTransformer | GuidedPolicy:
    """What decides: the network itself, or both of its conditions if its configuration asks for guidance."""
    return model if model.config.guidance == 1 else GuidedPolicy(model, model.config.guidance)
