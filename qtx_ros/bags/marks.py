"""The episodes of a bag: what the recorder marked, or how a bag without marks is split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from qtx_ros.bags.labels import Label

START, STOP, LABEL = 1, 2, 3


@dataclass(frozen=True)
class Mark:
    """One episode inside a bag: what the recorder noted. Times are receive times [ns]; None: the bag's ends."""

    episode: str = ""
    start_ns: int | None = None
    stop_ns: int | None = None
    instruction: str = ""
    label: str = ""
    comment: str = ""
    contract: str = ""
    reward: float | None = None  # of the last step, where somebody said so
    end: str = ""  # terminated or truncated, where somebody said so
    interventions: tuple[tuple[int, int], ...] = ()  # a human drove: [start, stop) of receive times [ns]
    problems: tuple[str, ...] = ()  # limits of the robot's file that the recording broke
    accepted: bool = True  # no such problems, or somebody accepted them

    def said(self, label: Label) -> Mark:
        """This episode after what people said of it."""
        accepted = self.accepted if label.accept is None else label.accept
        interventions = self.interventions if label.interventions is None else label.interventions
        reward = self.reward if label.reward is None else label.reward
        texts = {key: getattr(label, key) or getattr(self, key) for key in ("label", "comment", "instruction", "end")}
        return replace(self, accepted=accepted, interventions=interventions, reward=reward, **texts)


def read_marks(events: Iterable[tuple[int, Any]]) -> list[Mark]:
    """The episodes that EpisodeEvents mark, given with their receive times [ns]; later labels win."""
    marks: dict[str, Mark] = {}
    for receive_ns, event in events:
        mark = marks.get(event.episode)
        if event.event == START:
            mark = Mark(event.episode, receive_ns, None, event.instruction, contract=event.contract)
        elif mark is None:
            continue
        elif event.event == STOP:
            problems = tuple(getattr(event, "problems", ()))
            mark = replace(mark, stop_ns=receive_ns, problems=problems, accepted=not problems)
        given = {"label": event.label or mark.label, "comment": event.comment or mark.comment}
        marks[event.episode] = replace(mark, **given)
    return list(marks.values())
