"""The Q-Transformer: frames, state and instruction → Q-values of every bin of every action dimension."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from qtx_ros.errors import QtxError
from qtx_ros.model.config import ModelConfig as ModelConfig  # part of this module's face
from qtx_ros.model.decoder import ActionDecoder, decode
from qtx_ros.model.encoder import FrameEncoder, Observer, StateEncoder
from qtx_ros.model.maxvit import MaxViTEncoder
from qtx_ros.model.text import TextEncoder
from qtx_ros.model.transformer import EncoderBlock
from qtx_ros.preprocess import TEXT_BUCKETS
from qtx_ros.spec import Spec

SMALLEST_IMAGE = 8  # [px], the stem's kernel


class QTransformer(nn.Module):
    """Encodes one frame at a time; the tokens of the last T frames are the whole memory."""

    def __init__(self, spec: Spec, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.history = config, spec.history
        self.bins = tuple(d.bins for d in spec.dimensions)
        self.cameras = len(spec.cameras)
        self.encoder = _encoder(spec, config)
        self.tokens = self.encoder.tokens(self.cameras)
        self.text = TextEncoder(TEXT_BUCKETS, config.text_width)
        self.film = nn.Linear(config.text_width, self.encoder.film_size)
        self.time_position = nn.Parameter(torch.randn(spec.history, 1, config.width) * 0.3)
        self.slot_position = nn.Parameter(torch.randn(self.tokens, config.width) * 0.3)
        self.temporal = nn.ModuleList(
            EncoderBlock(config.width, config.heads, config.mlp_factor) for _ in range(config.temporal_layers)
        )
        self.context_norm = nn.LayerNorm(config.width)
        self.decoder = self._critic()
        self.twin = self._critic() if config.critics == 2 else None

    def _critic(self) -> ActionDecoder:
        """A critic with initial weights of its own; frames, instruction and context are encoded for all critics."""
        config = self.config
        return ActionDecoder(
            self.bins,
            self.history * self.tokens,
            config.width,
            config.heads,
            config.decoder_layers,
            config.mlp_factor,
            config.dueling,
        )

    @property
    def critics(self) -> list[ActionDecoder]:
        """One critic, or the twins."""
        return [self.decoder] if self.twin is None else [self.decoder, self.twin]

    conditions = 1  # under which each frame is encoded

    @property
    def ring_shape(self) -> tuple[int, int, int]:
        """[T, K, W]: the tokens of the last T frames."""
        return self.history, self.tokens, self.config.width

    @property
    def feature_size(self) -> int:
        """F: numbers that stand for the instruction."""
        return self.film.out_features

    def instruct(self, tokens: Tensor) -> Tensor:
        """All that the policy needs of an instruction, [B, F] from int64 [B, L]: the FiLM parameters."""
        return self.film(self.text(tokens))

    def encode(self, frames: Tensor, state: Tensor, features: Tensor) -> Tensor:
        """Tokens [B, K, W] of one tick: frames uint8 [B, C, H, W, 3], raw state [B, S], features [B, F]."""
        return self.encoder(frames, state, features)

    def look(self, frames: Tensor, features: Tensor) -> Tensor:
        """What `encode` knows without the state, of any number of cameras: tokens [B, C · P, W], P of a picture."""
        nothing = self.encoder.state_mean.expand(len(frames), -1)
        return self.encoder(frames, nothing, features)[:, :-1]

    def join(self, pictures: Tensor, state: Tensor, features: Tensor) -> Tensor:
        """The rest of `encode`: tokens [B, K, W] from those of all pictures [B, C · P, W], raw state and features."""
        scales, shifts = self.encoder.split_film(features)
        return torch.cat([pictures, self.encoder.state_token(state, scales[-1], shifts[-1])[:, None]], 1)

    def context(self, ring: Tensor) -> Tensor:
        """Context tokens [B, T · K, W] of the ring [B, T, K, W], the newest frame last."""
        x = (ring + self.time_position + self.slot_position).flatten(1, 2)
        for block in self.temporal:
            x = block(x)
        return self.context_norm(x)

    def q_values(self, context: Tensor, bins: Tensor) -> Tensor:
        """Teacher forced on the taken bins, int64 [B, D]: Q [B, D, M], of twins the smaller one; absent bins −inf."""
        return smallest(self.critic_q_values(context, bins))

    def critic_q_values(self, context: Tensor, bins: Tensor) -> list[Tensor]:
        """Teacher forced on the taken bins, int64 [B, D]: Q [B, D, M] of each critic."""
        return [critic.q_values(context, bins[:, : len(self.bins) - 1]) for critic in self.critics]

    def first_q_values(self, context: Tensor) -> Tensor:
        """Q of the first dimension, [B, M]: its maximum is the value of the state."""
        nothing = torch.zeros(len(context), 0, dtype=torch.int64, device=context.device)
        return smallest([critic.q_values(context, nothing)[:, 0] for critic in self.critics])

    def decode(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Greedy bins int64 [B, D], their Q [B, D], and all Q [B, D, M]."""
        return decode([(critic, context) for critic in self.critics], smallest)

    def set_statistics(self, pixel_mean: Tensor, pixel_std: Tensor, state_mean: Tensor, state_std: Tensor) -> None:
        """Set what normalises pixels [3] and state [S]; a standard deviation must be positive."""
        for name, value in (
            ("pixel_mean", pixel_mean), ("pixel_std", pixel_std), ("state_mean", state_mean), ("state_std", state_std)
        ):
            getattr(self.encoder, name).copy_(value)


def _encoder(spec: Spec, config: ModelConfig) -> Observer:
    size, state_size = camera_size(spec), len(spec.state_names)
    if size is None:
        return StateEncoder(state_size, config.width)
    if config.encoder == "maxvit":
        return MaxViTEncoder(size, state_size, config.maxvit, config.width)
    return FrameEncoder(size, state_size, config.channels, config.grid, config.cell, config.width)


def smallest(values: list[Tensor]) -> Tensor:
    """The smallest of tensors of one shape, entry by entry."""
    return reduce(torch.minimum, values)


def camera_size(spec: Spec) -> tuple[int, int] | None:
    """Height and width [px] that all cameras of the spec share, None without cameras; QtxError if they differ."""
    sizes = {(camera.height, camera.width) for camera in spec.cameras}
    if not sizes:
        return None
    if len(sizes) > 1:
        raise QtxError(f"robot {spec.name!r}: cameras have the sizes {sorted(sizes)}, a policy needs one size")
    height, width = sizes.pop()
    if min(height, width) < SMALLEST_IMAGE:
        raise QtxError(f"robot {spec.name!r}: images have {height}x{width} px, expected at least {SMALLEST_IMAGE}")
    return height, width
