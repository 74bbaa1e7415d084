"""What the report says of each episode, read from its manifest and its columns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qtx_ros.data.episode import Columns, Episode
from qtx_ros.data.stored import repeats, stored_frames
from qtx_ros.spec import Camera, Spec

INVALID, VALID, HUMAN = 0, 1, 2  # how a step is marked in a timeline


@dataclass(frozen=True)
class EpisodeFacts:
    """One episode at a glance. Times in s, rates in Hz; per stream they stand by topic."""

    name: str
    label: str
    instruction: str
    comment: str
    steps: int
    valid: int
    human: int  # steps in which a human drove
    seconds: float
    reward: float  # sum over the episode
    bytes: int
    gap: float  # longest time without a valid step
    steps_rate: float  # median of one over the time between ticks; NaN with fewer than two
    strip: np.ndarray  # uint8 [steps]: INVALID, VALID, HUMAN
    invalid: Mapping[str, int]  # sentence → steps
    rates: Mapping[str, float]  # as the converter measured them in the bag; may be empty
    gaps: Mapping[str, float]  # longest silence of each stream in the bag; may be empty
    clock: Mapping[str, tuple[float, float, float]]  # p5, median, p95 of receive time minus header stamp; may be empty
    frozen: Mapping[str, float] = field(default_factory=dict)  # camera → longest time it froze
    bag: str = ""  # where it came from
    source: str = ""  # equal: the same recording
    content: str = ""  # equal: the same actions and frames


def episode_facts(episode: Episode) -> EpisodeFacts:
    """Read one episode. QtxError for one that cannot be read."""
    manifest, columns = episode.manifest, episode.columns
    source = _mapping(manifest.get("source"))
    key = _mapping(source.get("key"))
    return EpisodeFacts(
        name=episode.folder.name,
        label=str(manifest["label"]),
        instruction=str(manifest["instruction"]),
        comment=str(source.get("comment") or ""),
        steps=len(columns.tick),
        valid=int(columns.valid.sum()),
        human=int(columns.intervention.sum()),
        seconds=_seconds(columns, episode.spec),
        reward=float(np.nansum(columns.reward)),
        bytes=sum(entry["bytes"] for entry in manifest["files"].values()),
        gap=_gap(columns, episode.spec),
        steps_rate=_rate(columns.tick),
        strip=strip(columns),
        invalid={str(k): v for k, v in _mapping(manifest.get("invalid")).items() if isinstance(v, int)},
        rates=_numbers(manifest.get("rates"), "rate"),
        gaps=_numbers(manifest.get("gaps"), "longest"),
        clock=_clock(manifest.get("clock")),
        frozen=_frozen(episode, columns),
        bag=str(source.get("bag") or ""),
        source=f"{key['sha256']} {key.get('mark', '')}" if "sha256" in key else "",
        content=_content(manifest["files"]),
    )


def _mapping(given: object) -> dict:
    """A mapping of the manifest; empty where something else or nothing stands."""
    return given if isinstance(given, dict) else {}


def strip(columns: Columns) -> np.ndarray:
    """The timeline of an episode, uint8 [steps]: INVALID, VALID or HUMAN."""
    return np.where(columns.valid, np.where(columns.intervention, HUMAN, VALID), INVALID).astype(np.uint8)


def _seconds(columns: Columns, spec: Spec) -> float:
    tick = columns.tick
    return float(tick[-1] - tick[0] + spec.period_ns) / 1e9 if len(tick) else 0.0


def _gap(columns: Columns, spec: Spec) -> float:
    """Longest time between two valid steps beyond the period [s]; 0 without a gap."""
    ticks = columns.tick[columns.valid]
    longest = int(np.diff(ticks).max(initial=0))
    return longest / 1e9 if longest > 1.5 * spec.period_ns else 0.0


def _rate(tick: np.ndarray) -> float:
    period = float(np.median(np.diff(tick))) if len(tick) > 1 else 0.0
    return 1e9 / period if period > 0 else math.nan


def _numbers(given: object, key: str) -> dict[str, float]:
    """A number for each topic: given as it is, or as an entry `key` of a mapping."""
    found = {}
    for topic, value in _mapping(given).items():
        value = value.get(key) if isinstance(value, dict) else value
        if isinstance(value, (int, float)) and math.isfinite(value):
            found[str(topic)] = float(value)
    return found


def _clock(given: object) -> dict[str, tuple[float, float, float]]:
    parts = {key: _numbers(given, key) for key in ("p5", "median", "p95")}
    return {topic: (parts["p5"].get(topic, m), m, parts["p95"].get(topic, m)) for topic, m in parts["median"].items()}


def _frozen(episode: Episode, columns: Columns) -> dict[str, float]:
    found = {c.name: frozen(episode, columns, c) for c in episode.spec.cameras if c.frozen_after is not None}
    return {name: seconds for name, seconds in found.items() if seconds}


def frozen(episode: Episode, columns: Columns, camera: Camera) -> float:
    """Longest time [s] a camera gave the same picture while some joint moved by its `frozen_motion`; 0 if it never did
    so for longer than its `frozen_after`."""
    same = repeats(*stored_frames(episode.folder, camera.name))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    longest = 0.0
    for start, stop in zip(edges[::2] - 1, edges[1::2], strict=True):  # steps start … stop − 1 show one picture
        seconds = float(columns.tick[stop - 1] - columns.tick[start]) / 1e9
        states = columns.state[start:stop]
        moved = float(np.ptp(states, axis=0).max(initial=0)) if states.size else 0.0
        if seconds > camera.frozen_after and moved >= camera.frozen_motion:
            longest = max(longest, seconds)
    return longest


def _content(files: Mapping[str, Mapping]) -> str:
    """One hash for what a learner would see of an episode, whatever it is called and labelled."""
    seen = [entry["sha256"] for name, entry in sorted(files.items()) if name.endswith(".bin") or name == "action.npy"]
    return hashlib.sha256(" ".join(seen).encode()).hexdigest()


def twins(episodes: list[EpisodeFacts]) -> list[list[EpisodeFacts]]:
    """Groups of episodes that are the same recording or hold the same frames and actions."""
    groups: dict[str, list[EpisodeFacts]] = {}
    for episode in episodes:
        shared = groups.get(episode.content) or groups.get(episode.source) or []
        shared.append(episode)
        groups[episode.content] = shared
        if episode.source:
            groups[episode.source] = shared
    unique = {id(group): group for group in groups.values() if len(group) > 1}
    return list(unique.values())
