"""What a study found, as pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from qtx_ros.study import tables
from qtx_ros.study.plan import PEER
from qtx_ros.study.results import Result
from qtx_ros.study.statistics import FEWEST, summarise
from qtx_ros.study.tables import Groups, ordered

BINS = re.compile(r"(?:(.+)-)?bins-(\d+)")  # a variant's name: before-bins-21, bins-21
COLOURS = ("#0b6e99", "#c2571a", "#5b7f2b", "#7d4e9e", "#b8912b", "#a33a5c")  # a line each
OURS, BASELINE, PEERS = "#0b6e99", "#c2571a", "#8a8a8a"  # bars: what is studied, baselines of ours, another library's
RATE = "success rate"  # a score between 0 and 1
INK, GRID = "#333333", "#dddddd"


def plot_methods(groups: Groups, path: Path, score: str) -> None:
    """A bar per method and variant, its interval and a dot per seed; a panel per mix of data; variants are pale."""
    panels: dict[str, list[list[Result]]] = {}
    for rows in ordered(groups).values():
        panels.setdefault(rows[0].keys["mix"], []).append(rows)
    sizes = [max(3, len(bars)) for bars in panels.values()]
    figure, axes = _figure(len(panels), 0.5 * sum(sizes) / len(sizes) + 1.0, sizes)
    for axis, size, (mix, bars) in zip(axes, sizes, panels.items(), strict=True):
        _bars(axis, bars)
        axis.set_xlim(-0.6, size - 0.4)
        axis.set_title(mix, fontsize=11, color=INK, loc="left")
    axes[0].set_ylabel(score, color=INK)
    _save(figure, path, score)


def _colour(method: str) -> str:
    return OURS if method == tables.OURS else PEERS if method.startswith(PEER) else BASELINE


def _bars(axis, groups: list[list[Result]]) -> None:
    for place, rows in enumerate(groups):
        means, colour = [row.mean for row in rows], _colour(rows[0].keys["method"])
        about = summarise(means)
        axis.bar(place, about.mean, 0.66, color=colour, alpha=0.15 if rows[0].keys["variant"] else 0.4)
        if about.n >= FEWEST:
            axis.errorbar(place, about.mean, about.high - about.mean, color=colour, lw=1.6)
        spread = np.linspace(-0.16, 0.16, len(means)) if len(means) > 1 else [0.0]
        axis.plot(place + np.array(spread), means, "o", ms=4, color=colour, mec="white", mew=0.6)
    names = [" ".join(filter(None, (rows[0].keys["method"], rows[0].keys["variant"]))) for rows in groups]
    axis.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=9)


def plot_bins(groups: Groups, path: Path, score: str) -> bool:
    """Score over the number of bins, a line per mix, method and what stands before `bins-N`; False without any.

    A method has one colour; what is called `before` is dashed.
    """
    lines: dict[tuple[str, str], dict[int, list[float]]] = {}
    for rows in ordered(groups).values():
        keys, match = rows[0].keys, BINS.fullmatch(rows[0].keys["variant"])
        if match:
            label = " ".join(filter(None, (keys["method"], match[1])))
            lines.setdefault((keys["mix"], label), {})[int(match[2])] = [row.mean for row in rows]
    if not lines:
        return False
    mixes = list(dict.fromkeys(mix for mix, _ in lines))
    figure, axes = _figure(len(mixes), 4.0)
    for axis, mix in zip(axes, mixes, strict=True):
        _curves(axis, {label: points for (other, label), points in lines.items() if other == mix})
        axis.set_title(mix, fontsize=11, color=INK, loc="left")
        axis.set_xlabel("bins per action dimension", color=INK)
    axes[0].set_ylabel(score, color=INK)
    axes[-1].legend(frameon=False, fontsize=9)
    _save(figure, path, score)
    return True


def _curves(axis, lines: dict[str, dict[int, list[float]]]) -> None:
    methods = sorted({label.split()[0] for label in lines}, key=lambda method: (method != tables.OURS, method))
    for label, points in sorted(lines.items()):
        colour, style = COLOURS[methods.index(label.split()[0]) % len(COLOURS)], "--" if "before" in label else "-"
        bins = sorted(points)
        axis.plot(bins, [np.mean(points[b]) for b in bins], style, color=colour, lw=1.8, label=label)
        for b in bins:
            axis.plot([b] * len(points[b]), points[b], "o", ms=4, color=colour, mec="white", mew=0.6)
    ticks = sorted({b for points in lines.values() for b in points})
    axis.set_xscale("log")
    axis.set_xticks(ticks, ticks)
    axis.minorticks_off()


def _figure(panels: int, width: float, shares: list[int] | None = None):
    """Panels side by side that share their axis of scores, `width` each in the mean, or as wide as their `shares`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * panels + 0.6, 3.6), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False, width_ratios=shares)[0]
    for axis in axes:
        axis.grid(axis="y", color=GRID, lw=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(colors=INK, length=0)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.spines["bottom"].set_color(GRID)
    return figure, axes


def _save(figure, path: Path, score: str) -> None:
    if score == RATE:  # however wide an interval is
        figure.axes[0].set_ylim(-0.02, 1.02)
    figure.savefig(path, dpi=130, metadata={"Software": None})
