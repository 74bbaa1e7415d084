"""What the demo leaves behind: a table, summary.json, a contact sheet of the camera, a plot of Q over time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np

from qtx_ros.bags.reader import open_bag
from qtx_ros.data import messages
from qtx_ros.nodes.fields import time_ns
from qtx_ros.spec import Spec

TILE, COLUMNS, LABEL = 160, 8, 22  # [px], frames in a row, [px]


def write(out: Path, played: list, spec: Spec, wall_s: float) -> dict:
    """Write all files into `out`; returns the summary."""
    summary = summarise(played, spec, wall_s)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    contact_sheet(out / "contact_sheet.png", _one_of_each(played), spec)
    plot_q(out / "q_over_time.png", played)
    return summary


def show(summary: dict, out: Path) -> None:
    """Print the table."""
    print(f"\n{'task':24}{'success':>10}{'length [s]':>12}{'p50 [ms]':>10}{'p99 [ms]':>10}{'frames lost':>13}")
    for name, task in summary["tasks"].items():
        successes = f"{task['successes']}/{task['episodes']}"
        length = task["median_length_s"]
        latency = task["latency_ms"]
        print(f"{name:24}{successes:>10}{_number(length, 2):>12}{_number(latency['p50'], 1):>10}"
              f"{_number(latency['p99'], 1):>10}{task['frames_lost']:>13}")  # fmt: skip
    latency = summary["latency_ms"]
    print(f"\nmean success {summary['mean_success']:.2f}; camera to command p50 {_number(latency['p50'], 1)} ms,"
          f" p99 {_number(latency['p99'], 1)} ms; {summary['wall_s']:.0f} s")  # fmt: skip
    print(f"written to {out}: summary.json, contact_sheet.png, q_over_time.png, bags/, logs/")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


# --- numbers -----------------------------------------------------------------------------------------------------

def summarise(played: list, spec: Spec, wall_s: float) -> dict:
    """The content of summary.json."""
    tasks = {}
    for name in dict.fromkeys(episode.task for episode in played):
        episodes = [episode for episode in played if episode.task == name]
        successes = sum(episode.success for episode in episodes)
        lengths = [len(episode.decisions) / spec.rate for episode in episodes if episode.success]
        tasks[name] = {
            "success": successes / len(episodes),
            "successes": successes,
            "episodes": len(episodes),
            "median_length_s": float(np.median(lengths)) if lengths else None,
            "latency_ms": percentiles(episodes),
            "frames_lost": sum(frames_lost(episode, spec) for episode in episodes),
        }
    return {
        "mean_success": float(np.mean([task["success"] for task in tasks.values()])),
        "tasks": tasks,
        "latency_ms": percentiles(played),
        "frames_lost": sum(task["frames_lost"] for task in tasks.values()),
        "decisions": sum(len(episode.decisions) for episode in played),
        "wall_s": round(wall_s, 1),
    }


def percentiles(played: list) -> dict[str, float | None]:
    """Camera stamp to published command [ms], over all decisions."""
    decisions = [decision for episode in played for decision in episode.decisions]
    latencies = [(time_ns(d.published) - time_ns(d.camera_stamp)) / 1e6 for d in decisions]
    if not latencies:
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = np.percentile(latencies, [50, 99])
    return {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(max(latencies), 2)}


def frames_lost(episode, spec: Spec) -> int:
    """Camera periods, from the first decision to the last, in which no frame became a command.

    Whatever the camera never took, the wire lost or the policy skipped leaves a hole between the header stamps of the
    frames that decisions were made from. Without any decision, every period of the episode counts.
    """
    used = sorted({time_ns(decision.camera_stamp) for decision in episode.decisions})
    if not used:
        return round(episode.seconds * spec.rate)
    return max(0, round((used[-1] - used[0]) / spec.period_ns) + 1 - len(used))


# --- pictures ----------------------------------------------------------------------------------------------------

def frames(bag: Path, spec: Spec) -> list[np.ndarray]:
    """All pictures of the first camera in a bag, uint8 [h, w, 3]."""
    camera = spec.cameras[0]
    with open_bag(bag) as source:
        stream = source.messages(spec, source.marks()[0])
        return [messages.image(msg, camera.type) for topic, _, msg in stream if topic == camera.topic]


def _one_of_each(played: list) -> list:
    """The first successful episode of each task, or else its first one."""
    best: dict = {}
    for episode in played:
        if episode.task not in best or (episode.success and not best[episode.task].success):
            best[episode.task] = episode
    return list(best.values())


def contact_sheet(path: Path, episodes: list, spec: Spec) -> None:
    """One row an episode: COLUMNS frames from its first to its last, as the camera saw them."""
    rows = []
    for episode in episodes:
        seen = frames(episode.bag, spec) or [np.zeros((TILE, TILE, 3), np.uint8)]
        chosen = [seen[i] for i in np.linspace(0, len(seen) - 1, COLUMNS).round().astype(int)]
        tiles = [cv2.resize(frame, (TILE, TILE), interpolation=cv2.INTER_CUBIC) for frame in chosen]
        outcome = "success" if episode.success else "failure"
        rows += [_caption(f'"{episode.instruction}": {outcome} after {episode.seconds:.1f} s'), np.hstack(tiles)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def _caption(text: str) -> np.ndarray:
    strip = np.full((LABEL, TILE * COLUMNS, 3), 255, np.uint8)
    cv2.putText(strip, text, (6, LABEL - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return strip


def plot_q(path: Path, played: list) -> None:
    """Q of the chosen action over time, one line an episode, one panel a task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(episode.task for episode in played))
    columns = min(4, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 3.0 * rows), squeeze=False, sharey=True)
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, task in zip(axes.flat, tasks, strict=False):
        _plot_task(axis, task, [episode for episode in played if episode.task == task])
    for axis in axes[:, 0]:
        axis.set_ylabel("Q of the chosen action")
    handles = [plt.Line2D([], [], color=color, label=label) for label, color in _COLORS.items()]
    figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)


_COLORS = {"success": "#1b9e77", "failure": "#d95f02"}


def _plot_task(axis, task: str, episodes: list) -> None:
    for episode in episodes:
        if episode.decisions:
            start = time_ns(episode.decisions[0].header.stamp)
            seconds = [(time_ns(decision.header.stamp) - start) / 1e9 for decision in episode.decisions]
            values = [float(decision.q[-1]) for decision in episode.decisions]  # the last dimension's Q is the action's
            axis.plot(seconds, values, color=_COLORS["success" if episode.success else "failure"], alpha=0.7, lw=1.2)
    axis.set_title(task, fontsize=10)
    axis.set_xlabel("time [s]")
    axis.grid(alpha=0.3)
