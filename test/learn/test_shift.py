"""Random shifts: one for all frames of a window, edges repeated, nothing else changed."""

from __future__ import annotations

import torch

from qtx_ros.learn.augment import shift


def moved(pixels: int, seed: int = 0, batch: int = 64) -> torch.Tensor:
    """Windows of two frames whose pixel (r, c) holds 16 r + c."""
    picture = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 1, 16, 16, 1)
    return shift(picture.expand(batch, 2, 1, 16, 16, 3).contiguous(), pixels, torch.Generator().manual_seed(seed))


def test_all_frames_of_a_window_move_together():
    frames = moved(3)
    assert torch.equal(frames[:, 0], frames[:, 1])


def test_windows_move_by_all_amounts_up_to_the_limit_in_both_directions():
    centre = moved(2)[:, 0, 0, 8, 8, 0].int()
    assert set((centre // 16 - 8).tolist()) == set((centre % 16 - 8).tolist()) == {-2, -1, 0, 1, 2}


def test_edges_are_repeated():
    corner = moved(3)[:, 0, 0, 0, 0, 0].int()
    assert set((corner // 16).tolist()) == {0, 1, 2, 3} == set((corner % 16).tolist())


def test_no_shift_changes_nothing():
    assert torch.equal(moved(0)[0, 0, 0, :, :, 0].flatten(), torch.arange(256, dtype=torch.uint8))
