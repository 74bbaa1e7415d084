"""Learned tokens of the convolutional encoder: as many as asked for, from every place of the image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.policy import QTransformer


def build(cameras: int = 1) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(small_spec(cameras=cameras, size=32), replace(SMALL, token_learner=3)).eval()


@pytest.mark.parametrize("cameras", [1, 2])
def test_every_camera_gives_its_learned_tokens_and_the_state_one(cameras):
    model = build(cameras)
    frames, features = torch.randint(0, 256, (2, cameras, 32, 32, 3), dtype=torch.uint8), torch.randn(2, 48)
    assert model.ring_shape == (2, 3 * cameras + 1, 16)
    tokens = model.encode(frames, torch.randn(2, 2), features)
    assert tokens.shape == (2, 3 * cameras + 1, 16)
    assert not torch.allclose(tokens[:, 0], tokens[:, 1], atol=1e-4)


def test_every_pixel_a_convolution_sees_reaches_every_token():
    model, state = build(), torch.zeros(1, 2)
    features = torch.zeros(1, model.feature_size)
    frames = torch.full((1, 1, 32, 32, 3), 100, dtype=torch.uint8)
    plain = model.look(frames, features)
    for row, column in ((0, 0), (16, 30), (31, 31)):
        other = frames.clone()
        other[0, 0, row, column] = 255
        assert ((model.encode(other, state, features)[:, :3] - plain).abs().amax(-1) > 0).all()


def test_maxvit_has_its_own():
    with pytest.raises(QtxError, match="token_learner is 3, expected 0: maxvit has maxvit.tokens"):
        replace(SMALL, encoder="maxvit", token_learner=3)
