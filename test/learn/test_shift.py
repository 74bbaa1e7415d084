"""Random shifts and colours: one for all frames of a chunk, edges repeated, nothing else changed."""

from __future__ import annotations

import torch

from qtx_ros.learn.augment import colour, shift

OWNER = torch.arange(64).repeat_interleave(2)


def moved(pixels: int, seed: int = 0) -> torch.Tensor:
    """64 chunks of two frames, [64, 2, 1, 16, 16, 3], whose pixel (r, c) held 16 r + c."""
    picture = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16, 1).expand(128, 1, 16, 16, 3).contiguous()
    return shift(picture, OWNER, 64, pixels, torch.Generator().manual_seed(seed)).unflatten(0, (64, 2))


def test_all_frames_of_a_chunk_move_together():
    frames = moved(3)
    assert torch.equal(frames[:, 0], frames[:, 1])


def test_chunks_move_by_all_amounts_up_to_the_limit_in_both_directions():
    centre = moved(2)[:, 0, 0, 8, 8, 0].int()
    assert set((centre // 16 - 8).tolist()) == set((centre % 16 - 8).tolist()) == {-2, -1, 0, 1, 2}


def test_edges_are_repeated():
    corner = moved(3)[:, 0, 0, 0, 0, 0].int()
    assert set((corner // 16).tolist()) == {0, 1, 2, 3} == set((corner % 16).tolist())


def test_no_shift_changes_nothing():
    assert torch.equal(moved(0)[0, 0, 0, :, :, 0].flatten(), torch.arange(256, dtype=torch.uint8))


def coloured(level, strength: float) -> torch.Tensor:
    """One pixel of each of 64 chunks of two frames, [64, 2, 3], that had one colour."""
    frames = torch.tensor(level, dtype=torch.uint8).expand(128, 2, 4, 4, 3).contiguous()
    return colour(frames, OWNER, 64, strength, torch.Generator().manual_seed(0))[:, 1, 2, 2].unflatten(0, (64, 2)).int()


def test_all_frames_of_a_chunk_change_colour_together_and_chunks_differ():
    pixels = coloured([120, 60, 200], 0.3)
    assert torch.equal(pixels[:, 0], pixels[:, 1]) and len(pixels[:, 0].unique(dim=0)) > 32


def test_grey_stays_grey_and_extremes_stay_bytes():
    grey = coloured([100, 100, 100], 0.3)[:, 0]
    assert (grey.amax(1) == grey.amin(1)).all() and grey.min() < 80 and grey.max() > 120
    assert coloured([255, 255, 255], 0.3).max() == 255 and coloured([0, 0, 0], 0.3).min() == 0


def test_no_colour_changes_nothing():
    assert coloured([1, 2, 3], 0.0)[0, 0].tolist() == [1, 2, 3]
