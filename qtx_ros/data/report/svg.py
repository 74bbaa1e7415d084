"""Small plots as inline SVG without text: they stretch with the page, labels are HTML around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qtx_ros.data.report.html import Html, Raw, tag

COLUMNS = 180  # no plot has more columns than this
MODES = ("invalid", "valid", "human")


def canvas(width: float, *shapes: object, height: float = 100, class_: str = "plot") -> Html:
    """A drawing of width × height units that is stretched to its box."""
    box = f"0 0 {_n(width)} {_n(height)}"
    return tag("svg", *shapes, class_=class_, viewBox=Raw(box), preserveAspectRatio="none", role="img")


def histogram(layers: Sequence[tuple[str, np.ndarray]], marks: Iterable[tuple[str, float]] = ()) -> Html:
    """Stacked columns: (class, counts [n]) from the bottom up; `marks` are (class, position in 0 … n) upright lines."""
    size = max(len(layers[0][1]), 1)
    layers = [(name, _fewer(counts)) for name, counts in layers]
    columns = max(len(layers[0][1]), 1)
    top = float(np.sum([counts for _, counts in layers], axis=0).max(initial=0)) or 1.0
    base, shapes = np.zeros(columns), [upright(name, at / size * columns) for name, at in marks]
    for name, counts in layers:
        shapes.append(tag("path", class_=name, d=Raw(_columns(base / top * 100, (base + counts) / top * 100))))
        base = base + counts
    return canvas(columns, *shapes)


def upright(name: str, x: float) -> Html:
    """A line from bottom to top at x."""
    return tag("line", class_=name, x1=_n(x), x2=_n(x), y1=0, y2=100)


def _fewer(counts: np.ndarray) -> np.ndarray:
    """At most COLUMNS columns; neighbours are added up."""
    counts = np.asarray(counts, np.float64)
    if len(counts) <= COLUMNS:
        return counts
    group = -(-len(counts) // COLUMNS)
    return np.add.reduceat(counts, np.arange(0, len(counts), group))


def _columns(bottom: np.ndarray, top: np.ndarray) -> str:
    """Rectangles of width 0.9, y downwards, as one path; a column that holds anything is at least 1 high."""
    parts = []
    for i in np.flatnonzero(top > bottom):
        high = max(top[i] - bottom[i], 1.0)
        parts.append(f"M{i + 0.05:.2f} {_n(100 - bottom[i])}v{_n(-high)}h.9v{_n(high)}z")
    return "".join(parts)


def series(values: np.ndarray, low: float, high: float, levels: Iterable[tuple[str, float]] = ()) -> Html:
    """A value per episode, from `low` at the bottom to `high`: a tick each, or with many the range of a few of them.

    `levels` are (class, value) lines across.
    """
    values, scale = np.asarray(values, float), 100 / ((high - low) or 1)
    groups = np.array_split(values, min(len(values), COLUMNS) or 1)
    parts = []
    for i, group in enumerate(groups):
        known = group[np.isfinite(group)]
        if len(known):
            y = np.clip(100 - (np.array([known.max(), known.min()]) - low) * scale, 1.5, 98.5)
            parts.append(f"M{i + 0.1:.1f} {_n(y[0] - 1.5)}h.8V{_n(y[1] + 1.5)}h-.8z")
    lines = [(name, 100 - (level - low) * scale) for name, level in levels]
    across = [tag("line", class_=name, x1=0, x2=len(groups), y1=_n(y), y2=_n(y)) for name, y in lines]
    return canvas(len(groups), *across, tag("path", class_="dot", d=Raw("".join(parts))))


def strip(codes: np.ndarray, length: int) -> Html:
    """A timeline of steps, uint8 [N] of 0 invalid, 1 valid, 2 human, on a scale of `length` steps."""
    group = max(1, -(-length // 400))
    if group > 1 and len(codes):  # what is rare must stay visible: invalid before human before valid
        rank = np.array([0, 2, 1])  # its own inverse
        codes = rank[np.minimum.reduceat(rank[codes], np.arange(0, len(codes), group))]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]]).astype(int)
    spans = [(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
    parts = {name: "" for name in MODES}
    for a, b in spans:
        parts[MODES[codes[a]]] += f"M{a} 0h{b - a}v10h{a - b}z"
    shapes = [tag("path", class_=name, d=Raw(d)) for name, d in parts.items() if d]
    return canvas(-(-length // group), *shapes, height=10, class_="strip")


def shares(parts: Sequence[tuple[str, float]]) -> Html:
    """One bar split into (class, amount)."""
    total, x, shapes = sum(amount for _, amount in parts) or 1, 0.0, []
    for name, amount in parts:
        width = 100 * amount / total
        if width:
            shapes.append(tag("rect", class_=name, x=_n(x), y=0, width=_n(width), height=10))
        x += width
    return canvas(100, *shapes, height=10, class_="bar")


def span(low: float, high: float, outer: tuple[float, float], inner: tuple[float, float], middle: float) -> Html:
    """A range plot from `low` to `high`: thin line for `outer`, thick one for `inner`, a mark at `middle`."""
    scale = 100 / ((high - low) or 1)
    at = [(value - low) * scale for value in (*outer, *inner, middle)]
    return canvas(
        100,
        tag("rect", class_="thin", x=_n(at[0]), y=4.4, width=_n(max(at[1] - at[0], 0.5)), height=1.2),
        tag("rect", class_="thick", x=_n(at[2]), y=2.5, width=_n(max(at[3] - at[2], 0.5)), height=5),
        tag("rect", class_="mid", x=_n(at[4] - 0.3), y=1, width=0.6, height=8),
        height=10,
        class_="bar",
    )


def _n(value: float) -> Raw:
    return Raw(f"{float(value):.2f}".rstrip("0").rstrip("."))
