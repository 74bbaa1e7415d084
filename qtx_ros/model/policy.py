"""The Q-Transformer: frames, state and instruction → Q-values of every bin of every action dimension."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from qtx_ros.errors import QtxError
from qtx_ros.model.beam import decide, margin
from qtx_ros.model.codes import CoarseCode, PlainCode
from qtx_ros.model.concat import ConcatDecoder
from qtx_ros.model.config import ModelConfig as ModelConfig  # part of this module's face
from qtx_ros.model.decoder import ActionDecoder, SingleHead, Walk
from qtx_ros.model.encoder import FrameEncoder, Observer, StateEncoder
from qtx_ros.model.heads import atom_edges
from qtx_ros.model.hyper import gather, spread
from qtx_ros.model.maxvit import MaxViTEncoder
from qtx_ros.model.memory import Memory, push
from qtx_ros.model.order import OrderedCode
from qtx_ros.model.text import SentenceProjection, SentenceWord, TextAttention, TextEncoder, Words
from qtx_ros.model.transformer import EncoderBlock
from qtx_ros.model.values import StateValue, WantedReturn
from qtx_ros.preprocess import TEXT_BUCKETS
from qtx_ros.spec import Spec

DECODERS = {"cross": ActionDecoder, "concat": ConcatDecoder, "single": SingleHead}
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
        self.text = _text(config)
        self.film = nn.Linear(config.text_width, self.encoder.film_size) if config.text == "film" else None
        self.words = _words(self.text, config) if config.text == "cross" else None
        self.time_position = nn.Parameter(torch.randn(spec.history, 1, config.width) * 0.3)
        self.slot_position = nn.Parameter(torch.randn(self.tokens, config.width) * 0.3)
        self.temporal = nn.ModuleList(
            EncoderBlock(config.width, config.heads, config.mlp_factor, config.hyper_streams, i)
            for i in range(config.temporal_layers)
        )
        self.context_norm = nn.LayerNorm(config.width)
        self.memory = Memory(self.bins, len(spec.state_names), spec.history, config) if config.memory else None
        self.code = _code(self.bins, config)
        self.decoder = self._critic()
        self.twin = self._critic() if config.critics > 1 else None
        self.others = nn.ModuleList(self._critic() for _ in range(config.critics - 2))
        self.actor = self._critic() if config.actor else None
        self.state_value = StateValue(self.context_tokens, config.width) if config.actor else None
        self.wanted = WantedReturn(config.width) if config.returns else None

    def _critic(self) -> ActionDecoder:
        """A critic with initial weights of its own; frames, instruction and context are encoded for all critics."""
        return DECODERS[self.config.decoder](self.code.sizes, self.context_tokens, self.config)

    @property
    def critics(self) -> list[ActionDecoder]:
        """One critic, the twins, or those that a search compares."""
        return [self.decoder] if self.twin is None else [self.decoder, self.twin, *self.others]

    @property
    def deciders(self) -> list[ActionDecoder]:
        """Whose outputs decide: the critics, or the actor where there is one."""
        return self.critics if self.actor is None else [self.actor]

    @property
    def context_tokens(self) -> int:
        """N: tokens of the context."""
        return self.history * self.tokens + self.config.returns

    conditions = 1  # under which each frame is encoded

    @property
    def ring_shape(self) -> tuple[int, int, int]:
        """[T, K, W]: the tokens of the last T frames; with a memory a few more of each hold it."""
        return self.history, self.tokens + (self.memory.slots if self.memory else 0), self.config.width

    @property
    def feature_size(self) -> int:
        """F: numbers that stand for the instruction."""
        if self.words:
            return self.words.feature_size
        return self.film.out_features if self.film else 1

    def instruct(self, tokens: Tensor) -> Tensor:
        """All that the policy needs of an instruction, [B, F]: FiLM parameters, or keys and values of its words.

        tokens: int64 [B, L] of `preprocess.text_tokens`, or float [B, E] of a frozen encoder.
        """
        if self.text is None:
            return 0.0 * tokens[:, :1].float()
        found = self.text(tokens)
        return self.words.features(*found) if self.words else self.film(found)

    def encode(self, frames: Tensor, state: Tensor, features: Tensor) -> Tensor:
        """Tokens [B, K, W] of one tick: frames uint8 [B, C, H, W, 3], raw state [B, S], features [B, F]."""
        return self._look_up(self.encoder(frames, state, self._film(features)), features)

    def _film(self, features: Tensor) -> Tensor:
        """FiLM parameters, [B, film_size] from features [B, F]; zeros, which do nothing, without FiLM."""
        return features if self.film else features.new_zeros(len(features), self.encoder.film_size)

    def _look_up(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Tokens [B, K, W] that have seen the instruction's words, where text is cross."""
        return self.words(tokens, features) if self.words else tokens

    def look(self, frames: Tensor, features: Tensor) -> Tensor:
        """What `encode` knows without the state, of any number of cameras: tokens [B, C · P, W], P of a picture."""
        nothing = self.encoder.state_mean.expand(len(frames), -1)
        return self._look_up(self.encoder(frames, nothing, self._film(features))[:, :-1], features)

    def join(self, pictures: Tensor, state: Tensor, features: Tensor) -> Tensor:
        """The rest of `encode`: tokens [B, K, W] from those of all pictures [B, C · P, W], raw state and features."""
        scales, shifts = self.encoder.split_film(self._film(features))
        token = self.encoder.state_token(state, scales[-1], shifts[-1])[:, None]
        return torch.cat([pictures, self._look_up(token, features)], 1)

    def context(self, ring: Tensor) -> Tensor:
        """Context tokens [B, N, W] of the ring [B, T, K, W], the newest frame last."""
        ring, given = (ring, ()) if self.memory is None else self._recall(ring)
        x = spread((ring + self.time_position + self.slot_position).flatten(1, 2), self.config.hyper_streams)
        for block in self.temporal:
            x = block(x, *given)
        x = self.context_norm(gather(x, self.config.hyper_streams))
        return x if self.wanted is None else self.wanted.append(x)

    def _recall(self, ring: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Frames [B, T, K, W] of the ring, and what the context attends to beside them."""
        frames, past = self.memory.split(ring)
        return frames, self.memory.given(past)

    def push(self, newest: Tensor, ring: Tensor, first: Tensor) -> Tensor:
        """The ring [B, T, K, W] a tick later: the newest frame's tokens [B, K, W] last; where it is the first of an
        episode, bool [B], it fills the ring and nothing is remembered."""
        if self.memory is None:
            return push(ring, newest, first)
        frames, past = self.memory.split(ring)
        return self.memory.join(push(frames, newest, first), self.memory.move(past, first))

    def store(self, ring: Tensor, state: Tensor, bins: Tensor) -> Tensor:
        """The ring with this tick's step, raw state [B, S] and bins int64 [B, D], which the next tick remembers."""
        if self.memory is None:
            return ring
        frames, past = self.memory.split(ring)
        step = self.memory.remember(self.encoder.normal(state)[:, None], bins[:, None])  # [B, 1, W]
        return self.memory.join(frames, torch.cat([past[:, :-1], step], 1))

    def with_past(self, frames: Tensor, state: Tensor, bins: Tensor) -> Tensor:
        """A ring of frames [B, T, K, W] and the M steps before: raw states [B, M, S], bins [B, M, D], −1 for none."""
        return self.memory.join(frames, self.memory.past(self.encoder.normal(state), bins))

    def to_tokens(self, bins: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Tokens int64 [B, K] of bins int64 [B, D]: what a batch's `bins` are once the trainer hands it to a method."""
        return self.code.to_tokens(bins, generator)

    def to_bins(self, tokens: Tensor) -> Tensor:
        """Bins int64 [B, D] of tokens int64 [B, K]."""
        return self.code.to_bins(tokens)

    def q_values(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forced on the taken tokens, int64 [B, K]: Q [B, K, M], of twins the smaller; absent bins −inf.

        Of an actor it is the logits of its policy.
        """
        return smallest([critic.values(*self.code.forced(critic, context, tokens)) for critic in self.deciders])

    def critic_q_values(self, context: Tensor, tokens: Tensor) -> list[Tensor]:
        """Teacher forced on the taken tokens, int64 [B, K]: Q [B, K, M] of each critic."""
        return [critic.values(*self.code.forced(critic, context, tokens)) for critic in self.critics]

    def critic_first_q_values(self, context: Tensor) -> list[Tensor]:
        """Q of the first token, [B, M], of each critic."""
        return [self.code.first(critic, context) for critic in self.critics]

    def critic_logits(self, context: Tensor, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """With `atoms`: logits [B, K, M, A] and Q [B, K, M] of each critic, teacher forced on tokens int64 [B, K].

        Q = `heads.expected(logits, model.decoder.centres)`, absent bins −inf; the logits of absent bins are finite and
        mean nothing: leave out what is not finite in Q. A target's histogram is over `model.atom_edges` [A + 1],
        smoothed by a Gaussian of `heads.SIGMA` atoms.
        """
        pairs = [(critic, *self.code.forced(critic, context, tokens)) for critic in self.critics]
        return [(logits, critic.values(logits, present)) for critic, logits, present in pairs]

    @property
    def atom_edges(self) -> Tensor:
        """Edges [A + 1] of the bins of value that `critic_logits` has logits for."""
        return atom_edges(self.config.atoms, self.config.value_range).to(self.decoder.centres.device)

    def first_q_values(self, context: Tensor) -> Tensor:
        """Q of the first token, [B, M]: its maximum is the value of the state."""
        return smallest([self.code.first(critic, context) for critic in self.deciders])

    def decode(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best bins, greedy or of a beam: int64 [B, D]; their Q [B, D], and all Q [B, D, M]."""
        return decide(self.code, self.walks(context), smallest, self.config.beam)

    def margin(self, context: Tensor) -> Tensor:
        """The smallest difference of Q, [B], between what `decode` chose and what it did not, in any of its choices."""
        return margin(self.code, self.walks(context), smallest, self.config.beam)

    def walks(self, context: Tensor) -> list[Walk]:
        """A walk of each of those that decide."""
        return [self.code.walk(critic, context) for critic in self.deciders]

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
    sizes = config.channels, config.grid, config.cell, config.width
    return FrameEncoder(size, state_size, *sizes, config.token_learner, config.keypoints)


def _text(config: ModelConfig) -> nn.Module | None:
    """What makes numbers of an instruction."""
    if config.text == "none":
        return None
    if config.text_encoder == "hashed":
        return (Words if config.text == "cross" else TextEncoder)(TEXT_BUCKETS, config.text_width)
    if not config.text_size:
        raise QtxError(f"model: text_encoder {config.text_encoder!r} needs text_size, the numbers of its embedding")
    return (SentenceWord if config.text == "cross" else SentenceProjection)(config.text_size, config.text_width)


def _words(text: nn.Module, config: ModelConfig) -> TextAttention:
    return TextAttention(text.count, config.text_width, config.width, config.heads, config.mlp_factor)


def _code(bins: tuple[int, ...], config: ModelConfig) -> PlainCode:
    """How actions become tokens."""
    if config.order != "fixed":
        return OrderedCode(bins, config.order == "predicted")
    code = CoarseCode(bins, config.code_base) if config.code == "coarse" else PlainCode(bins)
    if config.decoder == "single" and code.places > 1:
        raise QtxError(f"model: decoder is single, for an action of one token; this robot's has {code.places}")
    return code


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
