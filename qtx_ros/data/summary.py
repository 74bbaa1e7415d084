"""The table that `qtx convert` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qtx_ros.data.conversion import Row

WIDTH = 32  # of the column of names
WORST = 8  # reasons for invalid steps that are printed


def table(rows: Sequence[Row]) -> str:
    """A line for each episode or bag, a total, and the reasons for what failed, was refused or is invalid."""
    numbers = f"{'steps':>6} {'invalid':>7} {'clipped':>7} {'× real time':>11}"
    head = f"{'episode':{WIDTH}} {'status':10} {'label':8} {numbers}"
    done = [row for row in rows if row.steps]
    steps, invalid = sum(row.steps for row in done), sum(row.invalid for row in done)
    counts = Counter(row.status for row in rows)
    total = f"{len(done)} episodes, {steps} steps, {invalid} invalid, {steps - invalid} usable"
    others = "".join(f", {counts[kind]} {kind}" for kind in ("discarded", "refused", "failed") if counts[kind])
    reasons = [f"{row.status}: {row.bag}: {row.reason}" for row in rows if row.status in ("failed", "refused")]
    return "\n".join([head, *map(_line, rows), total + others, *reasons, *_problems(done)])


def _line(row: Row) -> str:
    speed = f"{row.recorded / row.took:.0f}" if row.status == "converted" and row.took else ""
    name = (row.episode or Path(row.bag).name)[-WIDTH:]
    numbers = f"{row.steps:6} {row.invalid:7} {row.clipped:7.1%}" if row.steps else f"{'':6} {'':7} {'':7}"
    return f"{name:{WIDTH}} {row.status:10} {row.label:8} {numbers} {speed:>11}"


def _problems(rows: Sequence[Row]) -> list[str]:
    problems: Counter[str] = Counter()
    for row in rows:
        problems.update(row.problems)
    return [f"invalid: {count} x {sentence}" for sentence, count in problems.most_common(WORST)]
