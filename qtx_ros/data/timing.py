"""What a recording says about its own time: clock offset, rate and silences of each stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

LONG = 3.0  # a silence is a gap from this many median intervals on
KEPT = 20  # gaps listed per stream, the longest


def timing(received: Mapping[str, Sequence[int]], offsets: Mapping[str, Sequence[int]]) -> dict[str, dict]:
    """`clock`, `rates` and `gaps` of each topic, for the manifest.

    `received` are receive times [ns] in order, `offsets` receive time minus header stamp [ns], where there is one.
    `clock`: median, p5 and p95 of the offsets [s]. `rates`: messages per second. `gaps`: the `longest` silence [s], and
    in `long` those of at least three median intervals as [begin, length], s since the first message of all.
    """
    start = min((times[0] for times in received.values() if len(times)), default=0)
    several = {topic: np.asarray(times, np.int64) for topic, times in received.items() if len(times) > 1}
    return {
        "clock": {topic: _spread(values) for topic, values in offsets.items() if len(values)},
        "rates": {topic: _rate(times) for topic, times in several.items()},
        "gaps": {topic: _gaps(times, start) for topic, times in several.items()},
    }


def _spread(offsets: Sequence[int]) -> dict[str, float]:
    ordered = sorted(offsets)
    p5, median, p95 = (ordered[(len(ordered) - 1) * percent // 100] / 1e9 for percent in (5, 50, 95))
    return {"median": median, "p5": p5, "p95": p95}


def _rate(times: np.ndarray) -> float:
    """Messages per second; 0 for messages of one moment."""
    span = int(times[-1] - times[0])
    return round((len(times) - 1) * 1e9 / span, 3) if span > 0 else 0.0


def _gaps(times: np.ndarray, start: int) -> dict:
    lengths = np.diff(times)
    longest = np.argsort(-lengths, kind="stable")[:KEPT]
    kept = sorted(longest[lengths[longest] >= LONG * np.median(lengths)].tolist())
    long = [[int(times[i] - start) / 1e9, int(lengths[i]) / 1e9] for i in kept if lengths[i] > 0]
    return {"longest": int(lengths.max()) / 1e9, "long": long}
