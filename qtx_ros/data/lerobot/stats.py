"""Statistics as LeRobot computes them: of each episode, with histogram quantiles, then weighted over episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
BINS = 5000
SMALL = 300  # [px] larger pictures are thinned to about half of it before their statistics

Stats = dict[str, np.ndarray]  # min, max, mean, std, count, q01 … q99


def number_stats(values: np.ndarray) -> Stats:
    """Statistics of one episode's values [N] or [N, D]: float64 [1] or [D] each, count [1]."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    columns = [_weighted(*np.unique(column, return_counts=True)) for column in values.T]
    return {name: np.array([column[name] for column in columns]) for name in columns[0]} | _count(len(values))


def image_stats(samples: Sequence[np.ndarray]) -> Stats:
    """Statistics of pictures, given the `levels` of each, as shares of 255: float64 [3, 1, 1] each, count [1]."""
    counts = np.sum(samples, 0)
    channels = [_weighted(np.flatnonzero(c).astype(np.float64), c[c > 0]) for c in counts]
    stats = {name: np.array([c[name] for c in channels]).reshape(3, 1, 1) / 255 for name in channels[0]}
    return stats | _count(len(samples))


def levels(frame: np.ndarray) -> np.ndarray:
    """How often each channel of a picture uint8 [H, W, 3] has each of 256 values, int64 [3, 256]."""
    height, width = frame.shape[:2]
    if max(height, width) >= SMALL:
        step = max(height, width) // (SMALL // 2)
        frame = np.ascontiguousarray(frame[::step, ::step])
    counts = [cv2.calcHist([frame], [channel], None, [256], [0, 256]) for channel in range(3)]
    return np.concatenate(counts, 1).T.astype(np.int64)


def sampled(count: int) -> np.ndarray:
    """Which frames of an episode of `count` steps LeRobot looks at, int64 [samples]."""
    samples = max(min(count, 100), min(int(count**0.75), 10_000))
    return np.unique(np.round(np.linspace(0, count - 1, samples)).astype(int))


def merged(parts: Iterable[Mapping[str, Stats]]) -> dict[str, Stats]:
    """The statistics of all episodes, feature by feature."""
    parts = list(parts)
    return {key: _merge([part[key] for part in parts]) for key in parts[0]}


def plain(stats: Mapping[str, Stats]) -> dict[str, dict[str, list]]:
    """The same as nested lists."""
    return {key: {name: values.tolist() for name, values in entry.items()} for key, entry in stats.items()}


def _count(count: int) -> Stats:
    return {"count": np.array([count])}


def _weighted(values: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """Statistics of ascending values that occur so often."""
    mean = np.average(values, weights=counts)
    stats = {"min": values[0], "max": values[-1], "mean": mean}
    stats["std"] = np.sqrt(np.average((values - mean) ** 2, weights=counts))
    if counts.sum() < 2:
        return stats | {_name(q): mean for q in QUANTILES}
    edges = np.linspace(values[0] - 1e-10, values[-1] + 1e-10, BINS + 1)
    filled = np.cumsum(np.histogram(values, bins=edges, weights=counts)[0])
    return stats | {_name(q): _quantile(filled, edges, q * counts.sum()) for q in QUANTILES}


def _quantile(filled: np.ndarray, edges: np.ndarray, wanted: float) -> float:
    """Where `wanted` values lie below, interpolated in the bin; `filled` counts the values up to each bin."""
    bin = int(np.searchsorted(filled, wanted))
    if bin == 0 or bin >= len(filled):
        return edges[0] if bin == 0 else edges[-1]
    below, inside = filled[bin - 1], filled[bin] - filled[bin - 1]
    return edges[bin] + (wanted - below) / inside * (edges[bin + 1] - edges[bin])


def _name(quantile: float) -> str:
    return f"q{int(quantile * 100):02d}"


def _merge(parts: Sequence[Stats]) -> Stats:
    counts = np.array([part["count"][0] for part in parts], np.float64)
    share = counts / counts.sum()

    def average(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.tensordot(share, np.stack(values), 1)

    mean = average([part["mean"] for part in parts])
    variance = average([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    ends = {"min": np.min([p["min"] for p in parts], 0), "max": np.max([p["max"] for p in parts], 0)}
    quantiles = {_name(q): average([part[_name(q)] for part in parts]) for q in QUANTILES}
    return {**ends, "mean": mean, "std": np.sqrt(variance), **_count(int(counts.sum())), **quantiles}
