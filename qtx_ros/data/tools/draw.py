"""Drawing one step of an episode, and a row or a grid of them, with OpenCV. Pictures are uint8 [h, w, 3] BGR."""

from __future__ import annotations

import cv2
import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

PAPER, INK, DIM, BACK = (248, 250, 251), (38, 33, 29), (122, 112, 104), (226, 230, 235)
HUMAN, BAD, GOOD, BAR = (194, 92, 138), (47, 82, 209), (132, 147, 31), (181, 127, 74)
LINE = 16  # [px] height of a line of text
BARS = 34  # [px] height of the action bars


def cameras(episode: Episode, step: int, height: int) -> np.ndarray:
    """All cameras of a step side by side, scaled to a height [px]; a crossed grey field for an invalid step, an empty
    square for a robot without cameras."""
    frames = []
    for camera in episode.spec.cameras:
        width = max(2, round(camera.width * height / camera.height))
        if episode.columns.valid[step]:
            frame = cv2.cvtColor(episode.frame(camera.name, step), cv2.COLOR_RGB2BGR)
            nearer = cv2.INTER_AREA if height < camera.height else cv2.INTER_CUBIC
            frames.append(cv2.resize(frame, (width, height), interpolation=nearer))
        else:
            frames.append(_crossed(width, height))
    return np.concatenate(frames or [np.full((height, height, 3), BACK, np.uint8)], 1)


def _crossed(width: int, height: int) -> np.ndarray:
    field = np.full((height, width, 3), BACK, np.uint8)
    cv2.line(field, (0, 0), (width - 1, height - 1), DIM, 1, cv2.LINE_AA)
    cv2.line(field, (0, height - 1), (width - 1, 0), DIM, 1, cv2.LINE_AA)
    return field


def tile(episode: Episode, step: int, height: int) -> np.ndarray:
    """A step for a contact sheet: cameras, a line of marks, the action; a coloured bar below says who drove."""
    picture = cameras(episode, step, height)
    width = picture.shape[1]
    words = paper(width, LINE)
    seconds = (episode.columns.tick[step] - episode.columns.tick[0]) / 1e9
    write(words, f"{step} {seconds:.2f} s", 2, 12, size=0.37)
    reward = float(episode.columns.reward[step])
    if reward:
        write(words, f"r {reward:g}", -2, 12, GOOD if reward > 0 else BAD)
    return np.concatenate([picture, state_bar(episode, step, width), words, action_bars(episode, step, width)])


def state_bar(episode: Episode, step: int, width: int) -> np.ndarray:
    """Valid, invalid or driven by a human, 4 px high."""
    columns = episode.columns
    colour = BAR if columns.valid[step] else BAD
    return np.full((4, width, 3), HUMAN if columns.intervention[step] else colour, np.uint8)


def action_bars(episode: Episode, step: int, width: int, height: int = BARS) -> np.ndarray:
    """A bar for each action dimension: its range is the height, a line marks zero; full bars are clipped."""
    picture = paper(width, height)
    dimensions, action = episode.spec.dimensions, episode.columns.action[step]
    slot = width / len(dimensions)
    for i, (dimension, value) in enumerate(zip(dimensions, action, strict=True)):
        def y(v: float, low: float = dimension.low, high: float = dimension.high) -> int:
            return round((height - 3) * (1 - (np.clip(v, low, high) - low) / (high - low))) + 1

        left, right, zero = round(i * slot) + 1, max(round((i + 1) * slot) - 2, round(i * slot) + 2), y(0.0)
        cv2.rectangle(picture, (left, 1), (right, height - 2), BACK, -1)
        if np.isfinite(value):
            colour, top = BAR if dimension.low <= value <= dimension.high else BAD, y(value)
            cv2.rectangle(picture, (left, min(zero, top)), (right, max(zero, top)), colour, -1)
        cv2.line(picture, (left, zero), (right, zero), DIM, 1)
    return picture


def paper(width: int, height: int) -> np.ndarray:
    """An empty picture."""
    return np.full((height, width, 3), PAPER, np.uint8)


def write(picture: np.ndarray, text: str, x: int, y: int, colour=INK, size: float = 0.4) -> None:
    """One line of text into a picture, a negative x from the right; what OpenCV's font lacks is a question mark."""
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    if x < 0:
        x += picture.shape[1] - cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0]
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def label_colour(label: str) -> tuple[int, int, int]:
    """Green for a success, orange for a failure, grey for neither."""
    return {"success": GOOD, "failure": BAD}.get(label, DIM)


def title(episode: Episode, width: int) -> np.ndarray:
    """Who, what, how it went, in two lines."""
    manifest, head = episode.manifest, paper(width, 2 * LINE + 8)
    write(head, f"{episode.folder.name}: {manifest['instruction'] or 'no instruction'}", 4, 15, size=0.45)
    counts = f"{manifest['steps']} steps, {manifest['steps'] - manifest['valid_steps']} invalid"
    write(head, manifest["label"] or "no label", 4, 33, label_colour(manifest["label"]))
    write(head, counts, 80, 33, DIM)
    return head


def grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in rows of `columns`, 6 px apart."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = paper(columns * (width + 6) + 6, rows * (height + 6) + 6)
    for i, picture in enumerate(tiles):
        top, left = 6 + i // columns * (height + 6), 6 + i % columns * (width + 6)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def check_steps(episode: Episode) -> None:
    """QtxError for an episode without a step."""
    if not len(episode):
        raise QtxError(f"{episode.folder} holds no step, there is nothing to see")


def spread(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` of `count` positions, evenly, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int))


def tile_width(spec: Spec, height: int) -> int:
    """Width [px] of the cameras of a step side by side."""
    return sum(max(2, round(c.width * height / c.height)) for c in spec.cameras) or height
