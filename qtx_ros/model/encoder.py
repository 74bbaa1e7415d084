"""Frame encoder: uint8 camera frames and raw state → a few spatial tokens per camera and one state token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qtx_ros.model.keypoints import Keypoints
from qtx_ros.model.token_learner import TokenLearner


class FilmConv(nn.Module):
    """Strided convolution whose channels are scaled and shifted by the instruction (FiLM)."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """[B, channels, h/2, w/2] from [B, channels_in, h, w] and FiLM parameters [B, channels] each."""
        x = self.norm(self.conv(x))
        return F.relu(x * (1 + scale[:, :, None, None]) + shift[:, :, None, None])


class Observer(nn.Module):
    """What all frame encoders share: the state's token, the statistics of the data, and how FiLM is cut up."""

    bfloat16, at_once = False, 0  # of training, which sets them: see `precision` and `recompute` of `TrainConfig`

    def observe(self, state_size: int, width: int) -> None:
        """Make the layers of the state's token and the buffers; called where their initial weights are due."""
        self.state_layer = nn.Linear(state_size, width)
        self.state_out = nn.Linear(width, width)
        self.register_buffer("pixel_mean", torch.full((3,), 127.5))
        self.register_buffer("pixel_std", torch.full((3,), 64.0))
        self.register_buffer("state_mean", torch.zeros(state_size))
        self.register_buffer("state_std", torch.ones(state_size))

    @property
    def film_sizes(self) -> list[int]:
        """Channels of each place that FiLM scales and shifts, the state's token last."""
        raise NotImplementedError

    @property
    def film_size(self) -> int:
        """FiLM parameters: a scale and a shift for each of those channels."""
        return 2 * sum(self.film_sizes)

    def split_film(self, film: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Scales and shifts, [B, channels] for each place, of [B, film_size]."""
        scale, shift = film.chunk(2, -1)
        return scale.split(self.film_sizes, -1), shift.split(self.film_sizes, -1)

    def normal(self, state: Tensor) -> Tensor:
        """The normalised state, of raw states […, S]."""
        return (state - self.state_mean) / self.state_std

    def state_token(self, state: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """The token [B, W] of the raw state [B, S]."""
        x = self.state_layer(self.normal(state))  # [B, W]
        return self.state_out(F.relu(x * (1 + scale) + shift))


class FrameEncoder(Observer):
    """Convolutions shared by all cameras; each cell of a `grid` × `grid` division of the image becomes one token, or a
    few tokens are learned sums of all places. One more token can say where a few things are that filters find.

    The first layer normalises pixels and state; its statistics are buffers and travel with the weights.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        state_size: int,
        channels: tuple[int, ...],
        grid: int,
        cell: int,
        width: int,
        learned: int = 0,
        points: int = 0,
    ) -> None:
        """`learned`: that many learned tokens of a picture instead of grid × grid cells; `points`: of its keypoints."""
        super().__init__()
        self.channels, self.grid, self.cell, self.width = channels, grid, cell, width
        self.stem = nn.Conv2d(3, channels[0], 8, stride=4)
        self.layers = nn.ModuleList(FilmConv(i, o) for i, o in zip(channels, channels[1:], strict=False))
        self.learner = TokenLearner(channels[-1], learned) if learned else None
        self.to_token = nn.Linear(channels[-1] * (1 if learned else cell * cell), width)
        fine = tuple(_map_size(size, len(channels) - 2) for size in image_size)
        self.points = Keypoints(channels[-2:][0], points, fine) if points else None
        self.point_token = nn.Linear(2 * points, width) if points else None
        self.observe(state_size, width)
        for axis, size in zip(("rows", "columns"), image_size, strict=True):
            self.register_buffer(f"pool_{axis}", _pooling(_map_size(size, len(channels) - 1), grid * cell), False)

    @property
    def film_sizes(self) -> list[int]:
        """Channels that FiLM scales and shifts: those of each layer after the stem, and those of the state token."""
        return [*self.channels[1:], self.width]

    def tokens(self, cameras: int) -> int:
        """Tokens per frame."""
        return cameras * self._per_picture + 1

    @property
    def _per_picture(self) -> int:
        return (self.learner.tokens if self.learner else self.grid**2) + (self.points is not None)

    def forward(self, frames: Tensor, state: Tensor, film: Tensor) -> Tensor:
        """Tokens [B, C · P + 1, W] of frames uint8 [B, C, H, W, 3], state [B, S] and FiLM parameters [B, film_size]."""
        scales, shifts = self.split_film(film)
        batch, cameras = frames.shape[:2]
        x = self._stem(frames.flatten(0, 1).permute(0, 3, 1, 2).float())  # [B · C, channels, ~H / 4, ~W / 4]
        fine = x
        for layer, scale, shift in zip(self.layers, scales, shifts, strict=False):
            fine, x = x, layer(x, per_camera(scale, cameras), per_camera(shift, cameras))
        parts = self.learner(x.permute(0, 2, 3, 1)) if self.learner else self._cells(x)  # [B · C, ·, features]
        spatial = self.to_token(parts)  # [B · C, ·, W]
        if self.points:
            spatial = torch.cat([spatial, self.point_token(self.points(fine).flatten(1))[:, None]], 1)
        spatial = spatial.reshape(batch, cameras * self._per_picture, -1)  # [B, C · P, W]
        return torch.cat([spatial, self.state_token(state, scales[-1], shifts[-1])[:, None]], 1)

    def _stem(self, x: Tensor) -> Tensor:
        """Convolution of the normalised pixels; the normalisation is folded into its weights, which is cheaper."""
        weight = self.stem.weight / self.pixel_std[:, None, None]  # [channels, 3, 8, 8]
        bias = self.stem.bias - (weight * self.pixel_mean[:, None, None]).sum((1, 2, 3))
        return F.relu(F.conv2d(x, weight, bias, self.stem.stride))

    def _cells(self, x: Tensor) -> Tensor:
        """[B · C, grid², channels · cell²] from the feature map [B · C, channels, h, w]."""
        if x.shape[-2:] != (self.grid * self.cell, self.grid * self.cell):
            x = self.pool_rows @ x @ self.pool_columns.T  # [B · C, channels, grid · cell, grid · cell]
        x = x.unflatten(3, (self.grid, self.cell)).unflatten(2, (self.grid, self.cell))  # [·, channels, g, c, g, c]
        return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class StateEncoder(Observer):
    """A robot without cameras: the state's token is all that a tick has."""

    def __init__(self, state_size: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.observe(state_size, width)

    @property
    def film_sizes(self) -> list[int]:
        """Channels of the state's token."""
        return [self.width]

    def tokens(self, cameras: int) -> int:
        """Tokens per tick."""
        return 1

    def forward(self, frames: Tensor, state: Tensor, film: Tensor) -> Tensor:
        """Tokens [B, 1, W]: frames uint8 [B, 0, H, W, 3], state [B, S], FiLM parameters [B, film_size]."""
        scales, shifts = self.split_film(film)
        return self.state_token(state, scales[-1], shifts[-1])[:, None]


def per_camera(x: Tensor, cameras: int) -> Tensor:
    """[B · C, channels] from [B, channels]."""
    return x if cameras == 1 else x.repeat_interleave(cameras, 0)


def _map_size(size: int, layers: int) -> int:
    """Height or width of the feature map after the stem and that many layers."""
    size = (size - 8) // 4 + 1
    for _ in range(layers):
        size = (size + 1) // 2
    return size


def _pooling(size: int, cells: int) -> Tensor:
    """Matrix [cells, size] that averages `size` entries into `cells` overlapping windows, as adaptive pooling does."""
    matrix = torch.zeros(cells, size)
    for i in range(cells):
        start, stop = i * size // cells, -(-(i + 1) * size // cells)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
