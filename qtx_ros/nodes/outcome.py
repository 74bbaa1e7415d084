"""How a collected episode ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One attempt at an episode."""

    seed: int
    label: str  # success or failure
    ticks: int
    kept: bool
    bag: str  # folder, empty if nothing was kept or recorded


def summary(outcomes: list[Outcome]) -> str:
    """One line about the attempts at a task."""
    successes = [o.ticks for o in outcomes if o.label == "success"]
    mean = f", {sum(successes) / len(successes):.0f} ticks on average" if successes else ""
    return f"{len(successes)}/{len(outcomes)} succeeded{mean}, {sum(o.kept for o in outcomes)} kept"
