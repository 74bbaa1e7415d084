"""Where things are in a picture: a few points, each the mean place of what a learned filter finds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARPNESS = 3.0  # of the filters before training, so that a point is a place rather than the middle of the picture


class Keypoints(nn.Module):
    """Spatial soft-argmax: a filter's softmax over all places, and the mean of the places under it.

    Deep spatial autoencoders (1509.06113); the softmax's temperature is the learned size of the filter.
    """

    def __init__(self, channels: int, count: int, size: tuple[int, int]) -> None:
        """`size`: height and width of the feature map."""
        super().__init__()
        self.score = nn.Conv2d(channels, count, 1)
        nn.init.normal_(self.score.weight, std=SHARPNESS / channels**0.5)
        rows, columns = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in size)
        self.register_buffer("places", torch.cartesian_prod(rows, columns).flip(-1), False)  # [h · w, 2], row by row

    def forward(self, x: Tensor) -> Tensor:
        """Points [B, count, 2] of a feature map [B, channels, h, w]: to the right and down, each from −1 to 1."""
        return self.score(x).flatten(2).softmax(-1) @ self.places
