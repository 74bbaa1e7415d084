"""Sizes and options of the network: one frozen dataclass, part of a run's configuration and of a bundle's manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qtx_ros.errors import QtxError
from qtx_ros.model.maxvit import MaxViTConfig

ENCODERS = ("conv", "maxvit")
TEXTS = ("film", "cross", "none")
FEWEST_ATOMS = 8  # of HL-Gauss


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; the robot's contract gives the rest."""

    encoder: str = "conv"  # or maxvit, which takes its sizes from `maxvit` and not from channels, grid and cell
    maxvit: MaxViTConfig = field(default_factory=MaxViTConfig)
    channels: tuple[int, ...] = (16, 32, 64)  # of the convolutions: a stem of stride 4, then each halves the image
    grid: int = 2  # an image becomes grid × grid tokens
    cell: int = 2  # a token sees cell × cell pooled features
    width: int = 128  # numbers per token
    heads: int = 4
    temporal_layers: int = 1
    decoder_layers: int = 2
    mlp_factor: int = 2  # hidden units of a transformer MLP, in widths
    text: str = "film"  # how the instruction acts; cross: tokens look up its words; none: it does not
    text_width: int = 64  # numbers of the instruction's embedding
    text_encoder: str = "hashed"  # or a frozen sentence encoder: its folder, or the package that holds it
    text_size: int = 0  # numbers of the frozen encoder's embedding; qtx train finds it
    dueling: bool = False
    atoms: int = 0  # HL-Gauss: each bin's Q is a histogram of this many atoms; 0: a number
    value_range: tuple[float, float] = (0.0, 1.0)  # that the atoms cover: training's value_low and value_high
    actor: bool = False  # a decoder of its own decides, beside the critics and a value of the state: method iql
    returns: bool = False  # the wanted return is a token of the context: method dt
    critics: int = 1  # 2: twins; their smaller Q makes targets and decisions
    guidance: float = 1.0  # of the exported policy: Q without instruction + guidance · what the instruction adds

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in vars(self).items() if type(value) is int}
        for name, value in [*sizes.items(), *((f"channels[{i}]", c) for i, c in enumerate(self.channels))]:
            if value < (0 if name in ("temporal_layers", "atoms", "text_size") else 1):
                raise QtxError(f"model: {name} is {value}, expected at least 1")
        if not self.channels:
            raise QtxError("model: channels is empty, expected at least one convolution")
        if self.encoder not in ENCODERS:
            raise QtxError(f"model: encoder is {self.encoder!r}, expected one of {', '.join(ENCODERS)}")
        if 0 < self.atoms < FEWEST_ATOMS:
            raise QtxError(f"model: atoms is {self.atoms}, expected 0 or at least {FEWEST_ATOMS}")
        if not self.value_range[0] < self.value_range[1]:
            raise QtxError(f"model: value_range is {self.value_range}, expected a smaller and a larger number")
        if self.critics > 2:
            raise QtxError(f"model: critics is {self.critics}, expected 1 or 2")
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise QtxError(f"model: guidance is {self.guidance}, expected a number of at least 0")
        if self.text not in TEXTS:
            raise QtxError(f"model: text is {self.text!r}, expected one of {', '.join(TEXTS)}")
        if self.text == "none" and (self.guidance != 1 or self.text_encoder != "hashed"):
            raise QtxError("model: guidance and text_encoder mean nothing with text none, expected film or cross")
        if self.width % self.heads:
            raise QtxError(f"model: width {self.width} must be a multiple of heads {self.heads}")
