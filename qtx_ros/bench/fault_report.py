"""What `qtx bench faults` measured, as lines, as one line of JSON, and as a table in the documentation."""

from __future__ import annotations

import json
import os
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from qtx_ros.bench.fault_cases import HOLDS, Case
from qtx_ros.bench.fault_trial import Trial
from qtx_ros.errors import QtxError

BEGIN, END = "<!-- qtx bench faults: begin -->", "<!-- qtx bench faults: end -->"
HEAD = f"{'fault':<42} {'expected':<15} {'promised':>8} {'p50':>6} {'max':>6} {'again':>6}  [ms]"
LONG = 72  # characters of a reason in the table


@dataclass(frozen=True)
class Row:
    """All trials of one fault."""

    case: Case
    promised: float  # [ms]
    trials: tuple[Trial, ...]

    @property
    def measured(self) -> list[float]:
        return [trial.measured for trial in self.trials]

    @property
    def problems(self) -> list[str]:
        """What broke a promise; empty: nothing."""
        late = [f"{ms:.0f} ms" for ms in self.measured if ms > self.promised]
        return [f"too late: {', '.join(late)}"] * bool(late) + [t.problem for t in self.trials if t.problem]

    @property
    def again(self) -> float:
        return statistics.median(trial.again for trial in self.trials)

    @property
    def reason(self) -> str:
        return max((trial.reason for trial in self.trials), key=bool)


def line(row: Row) -> str:
    """One line of the printed table."""
    times = f"{row.promised:8.0f} {statistics.median(row.measured):6.0f} {max(row.measured):6.0f} {row.again:6.0f}"
    said = "; ".join(row.problems) or "ok"
    return f"{row.case.name:<42} {row.case.expected:<15} {times}  {said}"


def conclude(rows: list[Row]) -> int:
    """Print the sum and the JSON line; exit status 1 if a promise was broken."""
    from qtx_ros import ros

    broken = [row.case.name for row in rows if row.problems]
    trials = sum(len(row.trials) for row in rows)
    print(f"\n{trials} faults of {len(rows)} kinds: " + (f"broken: {', '.join(broken)}" if broken else "all kept"))
    data = [
        {
            "fault": row.case.name,
            "expected": row.case.expected,
            "promised_ms": round(row.promised, 1),
            "measured_ms": [round(ms, 1) for ms in row.measured],
            "again_ms": [round(trial.again, 1) for trial in row.trials],
            "reason": row.reason,
            "problems": row.problems,
        }
        for row in rows
    ]
    print(json.dumps({"benchmark": "faults", "backend": ros.BACKEND, "broken": broken, "rows": data}))
    return int(bool(broken))


def markdown(rows: list[Row], trials: int) -> str:
    """The table of the documentation."""
    from qtx_ros import ros

    head = [
        f"Written by `qtx bench faults --trials {trials} --write docs/safety.md` ({ros.BACKEND} backend, "
        f"{os.cpu_count()} cores). In ms:",
        "p50 and max from the first faulty or missing message to the first command that keeps the robot in place, or,",
        "where it drives on, the longest time without a command; again: from the end of the fault, or `~/rearm`, to",
        "the next motion (p50).",
        "",
        "| Fault | Must | Within | ms | p50 | max | again | Reason given |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    return "\n".join([*head, *map(_cells, rows)])


def _cells(row: Row) -> str:
    case, p50, worst = row.case, statistics.median(row.measured), max(row.measured)
    reason = f"`{_short(row.reason)}`" if row.reason and case.expected == HOLDS else ""
    must = "hold, latched" if case.latched else "hold" if case.expected == HOLDS else case.expected
    flag = f" **broken: {'; '.join(row.problems)}**" if row.problems else ""
    times = f"{row.promised:.0f} | {p50:.0f} | {worst:.0f}{flag} | {row.again:.0f}"
    return f"| {case.name} | {must} | {case.promise.words} | {times} | {reason} |"


def _short(reason: str) -> str:
    reason = reason.replace("|", "/")
    return reason if len(reason) <= LONG else reason[: LONG - 1].rstrip() + "…"


def write(path: Path, rows: list[Row], trials: int) -> None:
    """Replace what stands between the two markers of a file; QtxError if they are not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise QtxError(f"{path} has no place for the table, expected the lines {BEGIN} and {END}")
    table = f"{BEGIN}\n{markdown(rows, trials)}\n{END}"
    path.write_text(pattern.sub(lambda _: table, text, count=1), encoding="utf-8")
