"""What `qtx inspect` prints, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qtx_ros.inspect.compare import Inspected, agreement, least, reasons, sentence, worst
from qtx_ros.inspect.live import Live

WORST = 5  # ticks told of each episode
WIDTH = 28  # of the column of names
REASONS = 3
TOLD = 8  # episodes told of, those of least agreement


def table(episodes: Sequence[Inspected]) -> str:
    """A line for each episode, one for each dimension, and the worst ticks."""
    head = (
        f"{'episode':{WIDTH}} {'label':8} {'ticks':>5} {'same bin':>8} {'± 1':>5} {'Q taken':>7} {'Q best':>7} "
        f"{'value':>12} {'decisions':>10}"
    )
    total = Live(**{key: sum(getattr(e.live, key) for e in episodes) for key in ("choices", "equal", "unknown")})
    said = [f"\nrecorded decisions that come out bin for bin: {decisions(total)}"] if total.choices else []
    return "\n".join([head, *map(_line, episodes), *_dimensions(episodes), *said, *_told(episodes)])


def _line(episode: Inspected) -> str:
    found = agreement(episode.replay)
    value = f"{_number(found.first)} → {_number(found.last)}"
    return (
        f"{episode.name[-WIDTH:]:{WIDTH}} {episode.replay.label or '–':8} {found.compared:5} {_share(found.exact):>8} "
        f"{_share(found.near):>5} {_number(found.q_taken):>7} {_number(found.q_best):>7} {value:>12} "
        f"{decisions(episode.live):>10}"
    )


def decisions(live: Live) -> str:
    """How many recorded decisions came out the same."""
    return f"{live.equal}/{live.choices - live.unknown}" if live.choices else "–"


def _dimensions(episodes: Sequence[Inspected]) -> list[str]:
    """How policy and recording agree in each dimension, over all episodes."""
    found = [agreement(episode.replay) for episode in episodes]
    weights = [a.compared for a in found if a.compared]
    if not weights:
        return []
    exact, near, off = (
        np.average([getattr(a, key) for a in found if a.compared], 0, weights) for key in ("exact", "near", "off")
    )
    lines = [f"\n{'dimension':{WIDTH}} {'same bin':>8} {'± 1':>5} {'mean |Δ|':>9}"]
    for d, e, n, o in zip(episodes[0].replay.spec.dimensions, exact, near, off, strict=True):
        lines.append(f"{d.name[:WIDTH]:{WIDTH}} {_share(e):>8} {_share(n):>5} {o:9.3g}")
    return lines


def _told(episodes: Sequence[Inspected]) -> list[str]:
    lines = []
    for i in least(episodes, TOLD):
        episode = episodes[i]
        told = [sentence(episode.replay, tick) for tick in worst(episode.replay, WORST)]
        told += hold_sentences(episode, REASONS) + live_sentences(episode)
        if told:
            lines += [f"\n{episode.name}", *(f"  {line}" for line in told)]
    return lines


def hold_sentences(episode: Inspected, most: int) -> list[str]:
    """Why the policy would have held, at most so many reasons."""
    counts = reasons(episode.replay)[:most]
    return [f"{count} {'tick' if count == 1 else 'ticks'}: policy would hold: {reason}" for reason, count in counts]


def live_sentences(episode: Inspected) -> list[str]:
    """How the recorded decisions compare with those made once more, in sentences; none without any."""
    live = episode.live
    if not live.choices + live.holds:
        return []
    equal = f"{live.equal} of {live.choices - live.unknown} recorded decisions come out bin for bin"
    said = [f"{equal}; holds: {live.holds}"]
    if live.unknown:
        said.append(f"{live.unknown} cannot be repeated: the bag lacks their frame, or one before it")
    if live.differing:
        tick, what = live.differing[0]
        start = episode.replay.tick[0] if len(episode.replay.tick) else tick
        said.append(f"the first that differs, t = {(tick - start) / 1e9:.2f} s: {what}")
    if live.differing and live.share < 0.5:
        said.append("most decisions differ: another bundle was driving, or another robot file")
    return said


def as_json(episodes: Sequence[Inspected], bundle: str) -> dict:
    """The same as plain numbers; what is unknown is null."""
    return {"bundle": bundle, "episodes": [_entry(episode) for episode in episodes]}


def _entry(episode: Inspected) -> dict:
    replay, live = episode.replay, episode.live
    found = agreement(replay)
    names = [d.name for d in replay.spec.dimensions]
    per_dimension = {key: dict(zip(names, map(_plain, getattr(found, key)), strict=True))
                     for key in ("exact", "near", "off")}  # fmt: skip
    return {
        "episode": episode.name,
        "bag": episode.bag,
        "instruction": replay.instruction,
        "label": replay.label,
        "ticks": found.ticks,
        "compared": found.compared,
        **per_dimension,
        **{key: _plain(getattr(found, key)) for key in ("q_taken", "q_best")},
        "value": [_plain(found.first), _plain(found.last)],
        "holds": dict(reasons(replay)),
        "worst": [{"t": _plain(replay.seconds[i]), "sentence": sentence(replay, i)} for i in worst(replay, WORST)],
        "decisions": {key: getattr(live, key) for key in ("choices", "holds", "equal", "unknown")}
        | {"differing": [{"tick_ns": int(tick), "what": what} for tick, what in live.differing]},
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _share(values: np.ndarray | float) -> str:
    mean = float(np.mean(values))
    return f"{mean:.0%}" if math.isfinite(mean) else "–"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
