"""Small training sets whose pictures carry their step's number, for tests of the LeRobot formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qtx_ros.bench.bags import picture
from qtx_ros.data.dataset import Dataset, write_index
from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

BITS = 12  # of the number, black or white blocks of 8x8 px along the top


def spec(rate: float = 10.0, size: tuple[int, int] = (64, 96)) -> Spec:
    return Spec(
        name="toy",
        rate=rate,
        cameras=(Camera("front", "image", *size), Camera("wrist", "image2", *size)),
        states=(StateStream("joints", ("a", "b", "c")),),
        commands=(CommandStream("arm", (ActionDimension("a", -1, 1, 5, "delta"), ActionDimension("grip", 0, 1, 3))),),
    )


def numbered(number: int, size: tuple[int, int]) -> np.ndarray:
    """A picture that compresses as a camera's would, and says which one it is."""
    frame = picture(*size, number / 10).copy()
    for bit in range(BITS):
        frame[:8, 8 * bit : 8 * bit + 8] = 255 * (number >> bit & 1)
    return frame


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers pictures [N, H, W, 3] carry, also after a lossy codec."""
    blocks = frames[:, 2:6, : 8 * BITS].mean((1, 3)).reshape(len(frames), BITS, 8).mean(2) > 128
    return (blocks << np.arange(BITS)).sum(1).tolist()


def add_episode(root: Path, robot: Spec, name: str, count: int, first: int = 0, invalid=(), label="success", **info):
    """An episode of random numbers; step i shows the numbers first + i (front) and 2000 + first + i (wrist)."""
    chance, valid = np.random.default_rng(first), np.ones(count, bool)
    valid[list(invalid)] = False
    state, action = chance.normal(size=(count, 3)), chance.normal(size=(count, 2))
    state[~valid], action[~valid] = np.nan, np.nan
    reward, tick = np.zeros(count), 1_700_000_000_000_000_000 + robot.period_ns * np.arange(count)
    reward[-1] = label == "success"
    columns = Columns(state, action, reward, tick, valid, chance.random((count, 3)), chance.random(count) > 0.5)
    ends = {"terminated": bool(label), "truncated": not label, "clipped": 0.0, "invalid": {}}
    facts = {"instruction": f"push {name}", "label": label, **ends, "source": {"bag": name}, **info}
    size = (robot.cameras[0].height, robot.cameras[0].width)
    starts = {"front": first, "wrist": 2000 + first}
    frames = {c: np.stack([numbered(start + i, size) for i in range(count)]) for c, start in starts.items()}
    write_episode(root, name, robot, frames, columns, facts, "raw")
    write_index(root, robot)


def small_set(root: Path, robot: Spec | None = None) -> Dataset:
    """Three episodes: a success; a failure with two gaps; one step nobody judged."""
    robot = robot or spec()
    add_episode(root, robot, "good", 20)
    add_episode(root, robot, "holes", 25, 100, invalid=(5, 6, 15), label="failure")
    add_episode(root, robot, "short", 1, 300, label="")
    return Dataset.open(root)


def valid_steps(dataset: Dataset, column: str) -> np.ndarray:
    """A column of all valid steps of all episodes."""
    return np.concatenate([getattr(e.columns, column)[e.columns.valid] for e in dataset.episodes])


def valid_frames(dataset: Dataset, camera: str) -> np.ndarray:
    """The frames of all valid steps, uint8 [N, H, W, 3]."""
    return np.stack([e.frame(camera, i) for e in dataset.episodes for i in np.flatnonzero(e.columns.valid)])


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Of the worst pair of frames [dB]."""
    error = ((one.astype(float) - other) ** 2).reshape(len(one), -1).mean(1).max()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
