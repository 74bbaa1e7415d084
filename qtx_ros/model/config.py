"""Sizes and options of the network: one frozen dataclass, part of a run's configuration and of a bundle's manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qtx_ros.errors import QtxError
from qtx_ros.model.maxvit import MaxViTConfig

ENCODERS = ("conv", "maxvit")
MAY_BE_ZERO = ("memory", "hyper_streams", "token_learner", "temporal_layers", "text_size", "atoms", "keypoints")
TEXTS = ("film", "cross", "none")
DECODERS, CODES, ORDERS = ("cross", "concat", "single"), ("plain", "coarse"), ("fixed", "random", "predicted")
FEWEST_ATOMS = 8  # of HL-Gauss


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; the robot's contract gives the rest."""

    encoder: str = "conv"  # or maxvit, which takes its sizes from `maxvit` and not from channels, grid and cell
    maxvit: MaxViTConfig = field(default_factory=MaxViTConfig)
    channels: tuple[int, ...] = (16, 32, 64)  # of the convolutions: a stem of stride 4, then each halves the image
    grid: int = 2  # an image becomes grid × grid tokens
    cell: int = 2  # a token sees cell × cell pooled features
    token_learner: int = 0  # learned tokens of an image (TokenLearner 1.1) instead of grid × grid; maxvit has its own
    keypoints: int = 0  # one more token of an image says where this many filters find what they look for
    width: int = 128  # numbers per token
    heads: int = 4
    temporal_layers: int = 1
    decoder_layers: int = 2
    mlp_factor: int = 2  # hidden units of a transformer MLP, in widths
    hyper_streams: int = 0  # residual streams of the transformer blocks (hyper-connections); 0: plain residuals
    memory: int = 0  # past steps, their states and actions, that the context attends to
    memory_dropout: float = 0.0  # probability that a transition is learned with a part of them missing
    text: str = "film"  # how the instruction acts; cross: tokens look up its words; none: it does not
    text_width: int = 64  # numbers of the instruction's embedding
    text_encoder: str = "hashed"  # or a frozen sentence encoder: its folder, or the package that holds it
    text_size: int = 0  # numbers of the frozen encoder's embedding; qtx train finds it
    decoder: str = "cross"  # attends to the context; concat: context and actions in one; single: a linear head
    code: str = "plain"  # a token per dimension; coarse: two, a cell and a bin inside it
    code_base: int = 16  # bins in a cell at most; dimensions with no more of them stay one token
    order: str = "fixed"  # of the dimensions; random: in training; predicted: and a first token chooses one
    tie_bins: bool = False  # the head of a bin is its embedding
    beam: int = 1  # of the exported policy: prefixes that the search for the best action keeps
    dueling: bool = False
    atoms: int = 0  # HL-Gauss: each bin's Q is a histogram of this many atoms; 0: a number
    value_range: tuple[float, float] = (0.0, 1.0)  # that the atoms cover: training's value_low and value_high
    actor: bool = False  # a decoder of its own decides, beside the critics and a value of the state: method iql
    returns: bool = False  # the wanted return is a token of the context: method dt
    critics: int = 1  # 2: twins, whose smaller Q makes targets and decisions; more, each by itself: training's search
    guidance: float = 1.0  # of the exported policy: Q without instruction + guidance · what the instruction adds

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in vars(self).items() if type(value) is int}
        for name, value in [*sizes.items(), *((f"channels[{i}]", c) for i, c in enumerate(self.channels))]:
            if value < (0 if name in MAY_BE_ZERO else 1):
                raise QtxError(f"model: {name} is {value}, expected at least 1")
        if not self.channels:
            raise QtxError("model: channels is empty, expected at least one convolution")
        if self.encoder not in ENCODERS:
            raise QtxError(f"model: encoder is {self.encoder!r}, expected one of {', '.join(ENCODERS)}")
        self._check_decoder()
        if 0 < self.atoms < FEWEST_ATOMS:
            raise QtxError(f"model: atoms is {self.atoms}, expected 0 or at least {FEWEST_ATOMS}")
        if not self.value_range[0] < self.value_range[1]:
            raise QtxError(f"model: value_range is {self.value_range}, expected a smaller and a larger number")
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise QtxError(f"model: guidance is {self.guidance}, expected a number of at least 0")
        if self.encoder == "maxvit" and self.token_learner:
            raise QtxError(f"model: token_learner is {self.token_learner}, expected 0: maxvit has maxvit.tokens")
        if self.encoder == "maxvit" and self.keypoints:
            raise QtxError(f"model: keypoints is {self.keypoints}, expected 0: maxvit has none")
        if self.memory and not self.temporal_layers:
            raise QtxError(f"model: memory is {self.memory} and temporal_layers 0, expected a layer that attends to it")
        if not (0 <= self.memory_dropout <= 1 and (self.memory or not self.memory_dropout)):
            raise QtxError(f"model: memory_dropout is {self.memory_dropout}, expected 0 to 1, and 0 without memory")
        if self.hyper_streams == 1:
            raise QtxError("model: hyper_streams is 1, expected 0 or at least 2")
        if self.text not in TEXTS:
            raise QtxError(f"model: text is {self.text!r}, expected one of {', '.join(TEXTS)}")
        if self.text_size and self.text_encoder == "hashed":
            raise QtxError(f"model: text_size is {self.text_size}, expected 0 without a frozen text_encoder")
        if self.text == "none" and (self.guidance != 1 or self.text_encoder != "hashed"):
            raise QtxError("model: guidance and text_encoder mean nothing with text none, expected film or cross")
        if self.width % self.heads:
            raise QtxError(f"model: width {self.width} must be a multiple of heads {self.heads}")

    def _check_decoder(self) -> None:
        """Names, and options of the decoder that exclude each other."""
        for name, known in (("decoder", DECODERS), ("code", CODES), ("order", ORDERS)):
            if getattr(self, name) not in known:
                raise QtxError(f"model: {name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.code_base < 2:
            raise QtxError(f"model: code_base is {self.code_base}, expected at least 2")
        if self.order != "fixed" and (self.code, self.decoder) not in (("plain", "cross"), ("plain", "concat")):
            wanted = "code plain and decoder cross or concat"
            raise QtxError(f"model: order {self.order} needs {wanted}, got {self.code} and {self.decoder}")
        if self.tie_bins and self.atoms:
            raise QtxError(f"model: tie_bins needs a number for each bin, atoms is {self.atoms}, expected 0")
        if self.actor and (self.beam > 1 or self.order == "predicted"):
            raise QtxError("model: beam and order predicted look for the highest Q, an actor decides by probability")
