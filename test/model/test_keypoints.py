"""Keypoints: the mean place of a filter's softmax, and a token of it for each camera."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.keypoints import Keypoints
from qtx_ros.model.policy import QTransformer


def one_filter(size: tuple[int, int], weight: float = 1.0) -> Keypoints:
    points = Keypoints(1, 1, size)
    torch.nn.init.constant_(points.score.weight, weight)
    torch.nn.init.zeros_(points.score.bias)
    return points


def test_a_point_is_the_mean_place_by_hand():
    weights = torch.tensor([[1.0, 2.0, 1.0], [2.0, 2.0, 4.0]])  # of 12; columns at −1, 0, 1, rows at −1, 1
    right, down = one_filter((2, 3))(weights.log()[None, None])[0, 0].tolist()
    assert right == pytest.approx((-1 - 2 + 1 + 4) / 12)
    assert down == pytest.approx((-1 - 2 - 1 + 2 + 2 + 4) / 12)


def test_a_point_follows_what_its_filter_finds():
    points = one_filter((5, 5), weight=50.0)
    for row, column in ((0, 0), (2, 2), (4, 1)):
        picture = torch.zeros(1, 1, 5, 5)
        picture[0, 0, row, column] = 1
        assert points(picture)[0, 0].tolist() == pytest.approx([column / 2 - 1, row / 2 - 1], abs=1e-5)


def test_a_map_of_one_row_has_its_points_in_the_middle():
    assert one_filter((1, 3))(torch.zeros(1, 1, 1, 3)).tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize("channels", [(8,), (8, 8), (8, 8, 8)])
@pytest.mark.parametrize("cameras", [1, 2])
def test_every_camera_gives_one_token_more_that_sees_its_pixels_only(cameras, channels):
    torch.manual_seed(0)
    config = replace(SMALL, keypoints=4, channels=channels)
    model = QTransformer(small_spec(cameras=cameras, size=32), config).eval()
    each, features = config.grid**2 + 1, torch.randn(1, model.feature_size)
    assert model.ring_shape == (2, each * cameras + 1, 16)
    frames, state = torch.randint(0, 256, (1, cameras, 32, 32, 3), dtype=torch.uint8), torch.randn(1, 2)
    other = frames.clone()
    other[0, -1, 4:12, 4:12] = 255
    changed = (model.encode(other, state, features) - model.encode(frames, state, features)).abs().amax(-1)[0] > 1e-6
    assert changed[-2] and not changed[-1] and not changed[: each * (cameras - 1)].any()


def test_the_point_token_is_learned():
    torch.manual_seed(0)
    model = QTransformer(small_spec(size=32), replace(SMALL, keypoints=4))
    frames = torch.randint(0, 256, (2, 1, 32, 32, 3), dtype=torch.uint8)
    model.encode(frames, torch.randn(2, 2), torch.randn(2, model.feature_size)).square().mean().backward()
    assert model.encoder.points.score.weight.grad.abs().max() > 0


def test_maxvit_has_none():
    with pytest.raises(QtxError, match="keypoints is 3, expected 0: maxvit has none"):
        replace(SMALL, encoder="maxvit", keypoints=3)
