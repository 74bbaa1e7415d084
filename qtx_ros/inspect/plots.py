"""Plots over the ticks of an episode: lines, shades and heat maps. One unit of width is one tick."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from qtx_ros.data.report.html import Html, Raw, tag
from qtx_ros.data.report.svg import canvas

COLUMNS = 900  # no plot shows more ticks than this
ROWS = 128  # nor a heat map more bins
GREY = (152, 146, 140)  # BGR


def thinned(count: int) -> np.ndarray:
    """The ticks that a plot shows, int64: all of them, or every second, third, …"""
    return np.arange(0, count, max(1, -(-count // COLUMNS)))


def lines(
    curves: Sequence[tuple[str, np.ndarray]], low: float, high: float, shades: Iterable[tuple[str, np.ndarray]] = ()
) -> Html:
    """Curves (class, float64 [N]) from `low` at the bottom to `high`, with gaps where they are NaN, over `shades`."""
    count = len(curves[0][1])
    keep = thinned(count)
    drawn = [tag("path", class_=f"curve {name}", d=Raw(_curve(values[keep], low, high))) for name, values in curves]
    return canvas(max(len(keep), 1), *shaded(shades, count), *drawn)


def shaded(shades: Iterable[tuple[str, np.ndarray]], count: int) -> list[Html]:
    """Fields from bottom to top: (class, bool [N]), a little wider than the tick so that one alone is seen."""
    keep = thinned(count)
    fields = []
    for name, on in shades:
        spans = "".join(f"M{a} 0H{b}V100H{a}z" for a, b in runs(on[keep]))
        fields.append(tag("path", class_=f"shade {name}", d=Raw(spans)) if spans else None)
    return [field for field in fields if field is not None]


def runs(on: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of every run of true, of bool [N]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _curve(values: np.ndarray, low: float, high: float) -> str:
    y = np.clip(100 - (values - low) / ((high - low) or 1) * 100, 0, 100)
    parts = []
    for a, b in runs(np.isfinite(y)):
        points = [f"{i + 0.5:g} {y[i]:.1f}" for i in range(a, b)]
        parts.append(f"M{'L'.join(points)}" if b - a > 1 else f"M{a} {y[a]:.1f}h1")
    return "".join(parts)


def heat(q: np.ndarray, chosen: np.ndarray, taken: np.ndarray, shades: Iterable[tuple[str, np.ndarray]] = ()) -> Html:
    """Q [N, bins] as colours, with the chosen bin and the one taken, int64 [N], drawn in."""
    keep, bins = thinned(len(q)), q.shape[1]
    paths = [tag("path", class_=f"curve {name}", d=Raw(_steps(b[keep], bins)))
             for name, b in (("chosen", chosen), ("taken", taken))]  # fmt: skip
    over = canvas(max(len(keep), 1), *shaded(shades, len(q)), *paths)
    return tag("div", tag("img", src=Raw(_picture(q[keep])), alt="Q over bins and time"), over, class_="heat")


def _steps(bins: np.ndarray, count: int) -> str:
    """A level stretch for each tick at its bin; nothing where it is −1."""
    y = 100 - (bins + 0.5) / count * 100
    return "".join(f"M{i} {y[i]:.1f}h1" for i in np.flatnonzero(bins >= 0))


def _picture(q: np.ndarray) -> str:
    """Q [N, bins] as a PNG of N × bins pixels, the largest bin on top: dark is the lowest Q of the picture, bright the
    highest, grey is where there is none."""
    q = q[:, :: -(-q.shape[1] // ROWS)]
    known = np.isfinite(q)
    low, high = (float(q[known].min()), float(q[known].max())) if known.any() else (0.0, 1.0)
    level = np.where(known, (q - low) / ((high - low) or 1.0), 0)
    colours = cv2.applyColorMap((255 * level.T[::-1]).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    colours[~known.T[::-1]] = GREY
    data = cv2.imencode(".png", colours, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
