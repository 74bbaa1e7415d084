"""MaxViT frame encoder: convolutions, attention within windows, attention over a grid, then a few learned tokens.

Maps are channels last, [B, h, w, C], so that everything but the 3×3 convolutions works on contiguous channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qtx_ros.errors import QtxError
from qtx_ros.model import lean
from qtx_ros.model.encoder import Observer, per_camera
from qtx_ros.model.token_learner import TokenLearner as TokenLearner  # part of this module's face
from qtx_ros.model.transformer import Mlp

NORMS = ("rms", "batch")
ROTARY_BASE = 10000.0
EPSILON = 1e-6  # under the root of a mean square; the exporter takes 1e-8 for zero and drops it


@dataclass(frozen=True)
class MaxViTConfig:
    """Sizes of the MaxViT; the defaults are those of the README of q-transformer 0.5.0."""

    dim: int = 64  # channels of the stem and of the first stage; each later stage has twice as many
    depth: tuple[int, ...] = (2, 2, 5, 2)  # blocks per stage; the stem and each stage halve the image
    heads: int = 8
    head_width: int = 64  # numbers per head
    window: int = 7  # window and grid have window × window places
    expansion: int = 4  # hidden channels of convolutions and MLPs, in channels of the stage
    norm: str = "rms"  # or batch: of the convolutions
    tokens: int = 8  # learned tokens per camera

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        for name, value in [*sizes.items(), *((f"depth[{i}]", d) for i, d in enumerate(self.depth))]:
            if value < 1:
                raise QtxError(f"model: maxvit.{name} is {value}, expected at least 1")
        if not self.depth:
            raise QtxError("model: maxvit.depth is empty, expected at least one stage")
        if self.head_width % 4:
            raise QtxError(f"model: maxvit.head_width is {self.head_width}, expected a multiple of 4")
        if self.norm not in NORMS:
            raise QtxError(f"model: maxvit.norm is {self.norm!r}, expected one of {', '.join(NORMS)}")

    @property
    def multiple(self) -> int:
        """Height and width of an image must be multiples of this [px]."""
        return self.window * 2 ** (len(self.depth) + 1)

    @property
    def stages(self) -> list[tuple[int, int]]:
        """Channels into and out of each block, in order."""
        widths = [self.dim * 2**stage for stage, depth in enumerate(self.depth) for _ in range(depth)]
        return list(zip([self.dim, *widths], widths, strict=False))


class RmsNorm(nn.Module):
    """Each place's channels divided by their root mean square: no place, no image depends on another one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[…, C] from […, C]; in a graph written as ONNX Runtime fuses it."""
        if lean.traced():
            return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * self.weight
        return lean.rms_norm(x, self.weight, EPSILON)


def activated(norm: nn.Module, x: Tensor) -> Tensor:
    """GELU of the normed x […, C]."""
    if isinstance(norm, RmsNorm) and not lean.traced():
        return lean.rms_norm(x, norm.weight, EPSILON, gelu=True)
    return F.gelu(norm(x))


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of maps [B, h, w, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, C] from [B, h, w, C]; while training over all images of the batch."""
        return super().forward(x.flatten(0, 2)).reshape(x.shape)


class Depthwise(nn.Conv2d):
    """3×3 convolution of each channel."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h', w'] from [B, C, h, w]."""
        if self.stride[0] > 1 and not lean.traced() and lean.narrow(x):
            return lean.depthwise(x, self.weight, self.bias, self.stride[0])
        return super().forward(x)


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole map holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, max(1, channels // 4), bias=False)
        self.up = nn.Linear(max(1, channels // 4), channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, C] from [B, h, w, C]."""
        return x * torch.sigmoid(self.up(F.silu(self.down(x.mean((1, 2), keepdim=True)))))


class MBConv(nn.Module):
    """Inverted bottleneck: expand, 3×3 depthwise (halving the map if asked), squeeze-excitation, project."""

    def __init__(self, channels_in: int, channels: int, halve: bool, expansion: int, norm: str) -> None:
        super().__init__()
        hidden, kind = expansion * channels, RmsNorm if norm == "rms" else BatchNorm
        self.residual = channels_in == channels and not halve
        self.expand, self.norm_expand = nn.Linear(channels_in, hidden), kind(hidden)
        self.depthwise = Depthwise(hidden, 1 + halve)
        self.norm_depthwise, self.excite = kind(hidden), SqueezeExcitation(hidden)
        self.project, self.norm_project = nn.Linear(hidden, channels), kind(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, h', w', channels] from [B, h, w, channels_in]."""
        y = activated(self.norm_expand, self.expand(x))
        y = self.depthwise(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = self.excite(activated(self.norm_depthwise, y))
        y = self.norm_project(self.project(y))
        return x + y if self.residual else y.float()  # what blocks add to stays float32


class WindowAttention(nn.Module):
    """Attention among the places of a window, or of a grid that spans the map; a head's values may be gated out.

    Queries and keys are turned by the row of their place in one half of their pairs and by its column in the other
    (axial rotary), so that their products know the offset between two places only.
    """

    def __init__(self, channels: int, heads: int, head_width: int, window: int, grid: bool) -> None:
        super().__init__()
        self.heads, self.window, self.grid = heads, window, grid
        inner = heads * head_width
        self.norm = RmsNorm(channels)
        self.query = nn.Linear(channels, inner, bias=False)
        self.key = nn.Linear(channels, inner, bias=False)
        self.value = nn.Linear(channels, inner, bias=False)
        self.gates = nn.Linear(channels, heads)
        self.out = nn.Linear(inner, channels, bias=False)
        scale = head_width**-0.25  # of both sides of a product, instead of the usual one afterwards
        for name, table in zip(("cos", "sin"), rotation(window, head_width), strict=True):
            self.register_buffer(name, table * scale, persistent=False)  # [w², d / 2]

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, C] from [B, h, w, C]."""
        y = self.norm(x)
        query, key, value = (
            partition(layer(y), self.heads, self.window, self.grid) for layer in (self.query, self.key, self.value)
        )  # [N, heads, w², d] each
        turn = rotate if lean.traced() else lean.turn
        query, key = (turn(part, self.cos, self.sin) for part in (query, key))
        found = attend(query, key, value)
        gate = torch.sigmoid(self.gates(y))  # [B, h, w, heads]
        merged = merge(found, x.shape[1:3], self.window, self.grid)  # [B, h, w, heads, d]
        return self.out((merged * gate[..., None]).flatten(3))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention without a scale, [N, heads, w², d] of each."""
    if not lean.traced() and lean.narrow(query):
        return lean.attend(query, key, value)
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)


def partition(x: Tensor, heads: int, window: int, grid: bool) -> Tensor:
    """Places that attend to each other, [N, heads, window², d], of a map [B, h, w, heads · d]; N windows or grids.

    A window holds neighbours; a grid holds every (h / window)-th row and every (w / window)-th column.
    """
    batch, height, width, _ = x.shape
    rows, columns = height // window, width // window
    if grid:
        x = x.reshape(batch, window, rows, window, columns, heads, -1).permute(0, 2, 4, 5, 1, 3, 6)
    else:
        x = x.reshape(batch, rows, window, columns, window, heads, -1).permute(0, 1, 3, 5, 2, 4, 6)
    return x.reshape(batch * rows * columns, heads, window**2, -1)


def merge(x: Tensor, size: tuple[int, int], window: int, grid: bool) -> Tensor:
    """The inverse of `partition`, heads apart: [B, h, w, heads, d] from [N, heads, window², d]."""
    rows, columns, heads = size[0] // window, size[1] // window, x.shape[1]
    x = x.reshape(-1, rows, columns, heads, window, window, x.shape[-1])
    x = x.permute(0, 4, 1, 5, 2, 3, 6) if grid else x.permute(0, 1, 4, 2, 5, 3, 6)
    return x.reshape(-1, *size, heads, x.shape[-1])


def rotation(window: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [window², width / 2] of each place's angles: by its column, then by its row."""
    speed = ROTARY_BASE ** (-torch.arange(0, width, 4) / width)  # [width / 4]
    angles = torch.arange(window)[:, None] * speed  # [window, width / 4]
    columns = angles[None].expand(window, -1, -1)
    rows = angles[:, None].expand(-1, window, -1)
    both = torch.cat([columns, rows], -1).flatten(0, 1)
    return both.cos(), both.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Pairs (x_i, x_{i + d/2}) of x […, w², d] turned by the angles of [w², d / 2]."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class MaxViTBlock(nn.Module):
    """FiLM by the instruction, MBConv, then attention and MLP within windows and over the grid."""

    def __init__(self, channels_in: int, channels: int, halve: bool, config: MaxViTConfig) -> None:
        super().__init__()
        self.conv = MBConv(channels_in, channels, halve, config.expansion, config.norm)
        self.attentions = nn.ModuleList(
            WindowAttention(channels, config.heads, config.head_width, config.window, grid) for grid in (False, True)
        )
        self.mlps = nn.ModuleList(nn.Sequential(RmsNorm(channels), *Mlp(channels, config.expansion)) for _ in range(2))

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """[B, h', w', C'] from [B, h, w, C] and FiLM parameters [B, C] each."""
        x = self.conv(x * (1 + scale[:, None, None]) + shift[:, None, None])
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            x = x + attention(x)
            x = x + mlp(x)
        return x


class MaxViTEncoder(Observer):
    """The MaxViT shared by all cameras: `tokens` learned tokens per camera, and one of the state."""

    def __init__(self, image_size: tuple[int, int], state_size: int, config: MaxViTConfig, width: int) -> None:
        super().__init__()
        check_image(image_size, config)
        self.config, self.width = config, width
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.dim, 3, stride=2, padding=1), nn.Conv2d(config.dim, config.dim, 3, padding=1)
        )
        first = [i for depth in config.depth for i in range(depth)]
        self.blocks = nn.ModuleList(
            MaxViTBlock(i, o, number == 0, config) for (i, o), number in zip(config.stages, first, strict=True)
        )
        channels = config.stages[-1][1]
        self.learner = TokenLearner(channels, config.tokens)
        self.to_token = nn.Identity() if channels == width else nn.Linear(channels, width)
        self.observe(state_size, width)

    @property
    def film_sizes(self) -> list[int]:
        """Channels that FiLM scales and shifts: those into each block, and those of the state token."""
        return [*(i for i, _ in self.config.stages), self.width]

    def tokens(self, cameras: int) -> int:
        """Tokens per frame."""
        return cameras * self.config.tokens + 1

    def forward(self, frames: Tensor, state: Tensor, film: Tensor) -> Tensor:
        """Tokens [B, C · tokens + 1, W]: frames uint8 [B, C, H, W, 3], state [B, S], FiLM parameters [B, film_size]."""
        scales, shifts = self.split_film(film)
        batch, cameras = frames.shape[:2]
        x = self.features(frames.flatten(0, 1), [[per_camera(x, cameras) for x in part] for part in (scales, shifts)])
        spatial = self.to_token(self.learner(x)).reshape(batch, cameras * self.config.tokens, -1)  # [B, C · tokens, W]
        return torch.cat([spatial, self.state_token(state, scales[-1], shifts[-1])[:, None]], 1)

    def features(self, images: Tensor, film: tuple) -> Tensor:
        """The last map [B, h, w, channels] of images uint8 [B, H, W, 3], given scales and shifts of each block."""
        x = (images.float() - self.pixel_mean) / self.pixel_std
        x = self.stem(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # [B, H / 2, W / 2, dim]
        for block, scale, shift in zip(self.blocks, *film, strict=False):
            x = block(x, scale, shift)
        return x


def check_image(size: tuple[int, int], config: MaxViTConfig) -> None:
    """QtxError unless windows divide the maps of every stage."""
    if any(length % config.multiple for length in size):
        raise QtxError(
            f"model: images have {size[0]}x{size[1]} px, expected multiples of {config.multiple} for maxvit.window "
            f"{config.window} and {len(config.depth)} stages"
        )
