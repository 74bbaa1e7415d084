"""Contact sheets: one episode step by step, or a row for each episode of a set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.data.tools import draw

TILE = 112  # [px] height of the cameras in a sheet
WIDTH = 1500  # [px] about this wide is a sheet
STEPS = 60  # steps on the sheet of an episode
MOMENTS = 8  # steps in the row of an episode
NAMES = 250  # [px] for the words of a row


def episode_sheet(episode: Episode, every: int = 0) -> np.ndarray:
    """Steps of an episode in a grid, uint8 [h, w, 3] BGR; `every` step, or at most STEPS evenly if it is 0."""
    draw.check_steps(episode)
    steps = np.arange(0, len(episode), every) if every else draw.spread(len(episode), STEPS)
    tiles = [draw.tile(episode, int(step), TILE) for step in steps]
    columns = max(1, min(len(tiles), WIDTH // (tiles[0].shape[1] + 6)))
    sheet = draw.grid(tiles, columns)
    return np.concatenate([draw.title(episode, sheet.shape[1]), sheet])


def set_sheet(episodes: Sequence[Episode]) -> np.ndarray:
    """A row for each episode: its words, moments from its first to its last step, its timeline."""
    rows = [_row(episode) for episode in episodes]
    return np.concatenate(rows)


def _row(episode: Episode) -> np.ndarray:
    width = draw.tile_width(episode.spec, TILE // 2)
    moments = draw.paper(MOMENTS * (width + 4), TILE // 2)
    if len(episode):
        for i, step in enumerate(np.linspace(0, len(episode) - 1, MOMENTS).round().astype(int)):
            moments[:, i * (width + 4) : i * (width + 4) + width] = draw.cameras(episode, int(step), TILE // 2)
    line = _timeline(episode, moments.shape[1] - 4)
    pictures = np.concatenate([moments, np.pad(line, ((2, 6), (0, 4), (0, 0)), constant_values=255)])
    return np.concatenate([_words(episode, pictures.shape[0]), pictures], 1)


def _words(episode: Episode, height: int) -> np.ndarray:
    words, manifest = draw.paper(NAMES, height), episode.manifest
    draw.write(words, episode.folder.name[-34:], 6, 15)
    draw.write(words, manifest["instruction"][:34] or "no instruction", 6, 32, draw.DIM)
    draw.write(words, manifest["label"] or "no label", 6, 49, draw.label_colour(manifest["label"]))
    draw.write(words, f"{manifest['steps']} steps", 90, 49, draw.DIM)
    return words


def _timeline(episode: Episode, width: int) -> np.ndarray:
    """Valid, invalid and human steps as colours, uint8 [4, width, 3]."""
    if not len(episode):
        return draw.paper(width, 4)
    bars = np.concatenate([draw.state_bar(episode, step, 1) for step in range(len(episode))], 1)
    return bars[:, np.arange(width) * len(episode) // width]
