"""Rebuilding the picture from its tokens, so that the encoder also keeps what no reward tells of: where things are.

A decoder beside the network that is thrown away after training, as in the auto-encoders of Lange and Riedmiller 2010
(Deep auto-encoder neural networks in reinforcement learning) and of SAC+AE (Yarats et al. 2019, arXiv 1910.01741).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 16  # pixels a side of what is rebuilt: an object of a few pixels is still a spot
HIDDEN = 256


class Rebuild(nn.Module):
    """From the tokens of a frame to its pictures, made small; one hidden layer."""

    def __init__(self, tokens: int, width: int, cameras: int) -> None:
        super().__init__()
        size = cameras * 3 * SIZE * SIZE
        self.decode = nn.Sequential(nn.Linear(tokens * width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, size))
        self.register_buffer("mean", torch.zeros(size))  # picture of the data
        self.register_buffer("std", torch.ones(()))  # of the data around it, in grey levels

    def set_statistics(self, frames: Tensor) -> None:
        """Take mean picture and spread from frames uint8 [U, C, H, W, 3]."""
        pictures = small(frames)
        self.mean.copy_(pictures.mean(0))
        self.std.copy_((pictures - self.mean).square().mean().sqrt() + 1.0)  # nothing moves: noise stays small

    def forward(self, tokens: Tensor, frames: Tensor) -> Tensor:
        """Mean squared error of the pictures rebuilt from tokens float [U, K, W] of frames uint8 [U, C, H, W, 3].

        In units of the data's spread: a decoder that only knows the mean picture has about 1.
        """
        wanted = (small(frames) - self.mean) / self.std
        return functional.mse_loss(self.decode(tokens.flatten(1)), wanted)


def small(frames: Tensor) -> Tensor:
    """Pictures of all cameras float32 [U, C · 3 · SIZE · SIZE], in grey levels: means of areas."""
    pictures = frames.flatten(0, 1).permute(0, 3, 1, 2).float()  # [U · C, 3, H, W]
    return functional.adaptive_avg_pool2d(pictures, SIZE).reshape(len(frames), -1)
