"""The life of a managed node: states and transitions, as lifecycle_msgs numbers and rcl_lifecycle labels them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

STATES = {
    0: "unknown", 1: "unconfigured", 2: "inactive", 3: "active", 4: "finalized", 10: "configuring", 11: "cleaningup",
    12: "shuttingdown", 13: "activating", 14: "deactivating", 15: "errorprocessing",
}  # fmt: skip


class TransitionCallbackReturn(Enum):
    """What a transition's callback says."""

    SUCCESS = 97
    FAILURE = 98
    ERROR = 99

    def to_label(self) -> str:
        return f"transition_{self.name.lower()}"


@dataclass(frozen=True)
class Transition:
    id: int
    label: str
    start: int
    goal: int


def _outcomes(first_id: int, start: int, success: int, failure: int, error: int) -> list[Transition]:
    goals = (success, failure, error)
    returns = zip(TransitionCallbackReturn, goals, strict=True)
    return [Transition(first_id + i, r.to_label(), start, goal) for i, (r, goal) in enumerate(returns)]


TRANSITIONS = (
    Transition(1, "configure", 1, 10),
    *_outcomes(10, 10, 2, 1, 15),
    Transition(2, "cleanup", 2, 11),
    *_outcomes(20, 11, 1, 2, 15),
    Transition(3, "activate", 2, 13),
    *_outcomes(30, 13, 3, 2, 15),
    Transition(4, "deactivate", 3, 14),
    *_outcomes(40, 14, 2, 3, 15),
    Transition(5, "shutdown", 1, 12),
    Transition(6, "shutdown", 2, 12),
    Transition(7, "shutdown", 3, 12),
    *_outcomes(50, 12, 4, 4, 15),
    *_outcomes(60, 15, 1, 4, 4),
)


class StateMachine:
    """The current state, and the one way to change it."""

    def __init__(self) -> None:
        self.state = 1

    @property
    def label(self) -> str:
        return STATES[self.state]

    def available(self) -> list[Transition]:
        """Transitions that start in the current state."""
        return [t for t in TRANSITIONS if t.start == self.state]

    def find(self, *, id: int | None = None, label: str = "") -> Transition | None:
        """The available transition of this label, or without a label of this id."""
        return next((t for t in self.available() if (t.label == label if label else t.id == id)), None)
