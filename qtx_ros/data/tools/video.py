"""Videos of episodes: all cameras side by side, what is known of the step below. mp4 by OpenCV, or a GIF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.data.tools import draw
from qtx_ros.errors import QtxError

HEIGHT = 240  # [px] of the cameras in a video
GIF_HEIGHT = 144
GIF_FRAMES = 600  # a GIF is held in memory


def frames(episode: Episode, height: int) -> Iterator[np.ndarray]:
    """Every step of an episode as a picture, uint8 [h, w, 3] BGR with even sides."""
    draw.check_steps(episode)
    for step in range(len(episode)):
        picture = draw.cameras(episode, step, height)
        width = max(picture.shape[1], 420)
        picture = _centred(picture, width)
        parts = [picture, draw.state_bar(episode, step, width), _words(episode, step, width)]
        image = np.concatenate([*parts, draw.action_bars(episode, step, width, 48)])
        yield image[: image.shape[0] // 2 * 2, : width // 2 * 2]


def _centred(picture: np.ndarray, width: int) -> np.ndarray:
    field = draw.paper(width, picture.shape[0])
    left = (width - picture.shape[1]) // 2
    field[:, left : left + picture.shape[1]] = picture
    return field


def _words(episode: Episode, step: int, width: int) -> np.ndarray:
    columns, manifest, words = episode.columns, episode.manifest, draw.paper(width, 54)
    seconds = (columns.tick[step] - columns.tick[0]) / 1e9
    ages = columns.age[step][np.isfinite(columns.age[step])]
    oldest = f"oldest input {ages.max() * 1e3:.0f} ms" if len(ages) else "age unknown"
    state = "human" if columns.intervention[step] else "" if columns.valid[step] else "invalid"
    draw.write(words, f"{episode.folder.name}  {manifest['instruction']}", 6, 15)
    numbers = f"step {step}/{len(episode) - 1}  {seconds:.2f} s  reward {columns.reward[step]:g}  {oldest}"
    draw.write(words, numbers, 6, 32, draw.DIM)
    draw.write(words, manifest["label"] or "no label", 6, 49, draw.label_colour(manifest["label"]))
    draw.write(words, state, 90, 49, draw.HUMAN if state == "human" else draw.BAD)
    return words


def write_mp4(path: Path, episodes: Iterable[Episode], rate: float) -> int:
    """Write an mp4 of episodes one after another at `rate` pictures per second; returns their number.

    QtxError if this OpenCV cannot write one, or if what it wrote does not hold every picture.
    """
    writer, count = None, 0
    try:
        for episode in episodes:
            for image in frames(episode, HEIGHT):
                writer = writer or _open(path, rate, image)
                writer.write(image)
                count += 1
    finally:
        if writer is not None:
            writer.release()
    video = cv2.VideoCapture(str(path))
    held = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if held != count:
        raise QtxError(f"{path} holds {held} of {count} pictures: this OpenCV wrote it badly, choose .gif or .png")
    return count


def _open(path: Path, rate: float, image: np.ndarray) -> cv2.VideoWriter:
    size = (image.shape[1], image.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise QtxError(f"cannot write {path}: no such folder, or this OpenCV {cv2.__version__} has no mp4 encoder")
    return writer


def write_gif(path: Path, episodes: Iterable[Episode], rate: float) -> int:
    """Write a GIF, at most GIF_FRAMES pictures; returns their number. QtxError if this OpenCV writes none."""
    if not hasattr(cv2, "imwriteanimation"):
        raise QtxError(f"OpenCV {cv2.__version__} writes no GIF (4.11 does), choose .mp4 or .png")
    images = []
    for episode in episodes:
        images += frames(episode, GIF_HEIGHT)
        if len(images) > GIF_FRAMES:
            raise QtxError(f"a GIF of more than {GIF_FRAMES} steps does not fit into memory, choose .mp4")
    animation = cv2.Animation()
    animation.frames = images
    animation.durations = np.full(len(images), max(20, round(1000 / rate)), np.int32)
    if not cv2.imwriteanimation(str(path), animation):
        raise QtxError(f"cannot write {path}")
    return len(images)
