"""Pictures for the report: first, middle and last frame of a sample of episodes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.data.report.facts import EpisodeFacts
from qtx_ros.data.report.html import Html, Raw, tag
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SIDE = 112  # [px] of the longer side
QUALITY = 82


def sample(episodes: Sequence[EpisodeFacts], count: int) -> list[EpisodeFacts]:
    """At most `count` episodes, evenly spread over the instructions and over the recording."""
    by_text: dict[str, list[EpisodeFacts]] = {}
    for episode in episodes:
        by_text.setdefault(episode.instruction, []).append(episode)
    groups, chosen = list(by_text.values()), []
    for i, group in enumerate(groups[:count]):
        share = count // min(len(groups), count) + (i < count % min(len(groups), count))
        picks = np.linspace(0, len(group) - 1, min(share, len(group))).round().astype(int)
        chosen += [group[k] for k in dict.fromkeys(picks.tolist())]
    return chosen


def pictures(folder: Path, spec: Spec, facts: EpisodeFacts) -> list[Html]:
    """First, middle and last picture of each camera of an episode."""
    steps = np.flatnonzero(facts.strip)
    if not len(steps):
        return []
    chosen = [int(steps[0]), int(steps[len(steps) // 2]), int(steps[-1])]
    try:
        episode = Episode(folder / facts.name, spec)
        frames = [episode.frame(camera.name, step) for camera in spec.cameras for step in chosen]
    except (QtxError, OSError):
        return [tag("p", "the frames cannot be read", class_="dim")]
    return [picture(frame, f"step {step}") for frame, step in zip(frames, chosen * len(spec.cameras), strict=True)]


def picture(frame: np.ndarray, text: str) -> Html:
    """An uint8 [H, W, 3] RGB frame as an image inside the page."""
    height, width = frame.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return tag("img", src=Raw(source), alt=text, title=text, width=small.shape[1], height=small.shape[0])
