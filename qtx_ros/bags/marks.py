"""The episodes of a bag: what the recorder marked, or how a bag without marks is split.

Episodes never overlap: where one begins, the one before it has ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qtx_ros.bags.labels import Label
from qtx_ros.errors import QtxError

START, STOP, LABEL = 1, 2, 3
REPEAT_NS = 1_000_000_000  # ends of an episode that follow each other faster are one
SPLITS = ("marks", "instruction", "events", "gap:SECONDS", "none")


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
    place: str = ""  # where its start mark stands: file, offset, topic

    def said(self, label: Label) -> Mark:
        """This episode after what people said of it."""
        accepted = self.accepted if label.accept is None else label.accept
        interventions = self.interventions if label.interventions is None else label.interventions
        reward = self.reward if label.reward is None else label.reward
        texts = {key: getattr(label, key) or getattr(self, key) for key in ("label", "comment", "instruction", "end")}
        return replace(self, accepted=accepted, interventions=interventions, reward=reward, **texts)


def parse_split(text: str) -> tuple[str, float]:
    """How to split, and for a gap its length [s]; an empty text means by marks. QtxError for anything else."""
    name, _, length = text.partition(":")
    if (text or "marks") in ("marks", "instruction", "events", "none"):
        return text or "marks", 0.0
    try:
        seconds = float(length)
    except ValueError:
        seconds = math.nan
    if name != "gap" or not 0 < seconds < math.inf:
        raise QtxError(f"split is {text!r}, expected one of {', '.join(SPLITS)}, as in gap:2.5")
    return name, seconds


def read_marks(events: Iterable[tuple[int, Any]]) -> list[Mark]:
    """The episodes that EpisodeEvents mark, given with their receive times [ns] in order; later labels win.

    A start without a stop (the recorder died) lasts to the next start or the end of the bag. A second start of the
    same name begins it anew. Of several stops the first counts. A stop or label without a start says nothing.
    """
    marks: dict[str, Mark] = {}
    for receive_ns, event in events:
        mark = marks.get(event.episode)
        if event.event == START:
            mark = Mark(event.episode, receive_ns, None, event.instruction, contract=event.contract)
            marks = {name: _ended(other, receive_ns) for name, other in marks.items() if name != event.episode}
        elif mark is None:
            continue
        elif event.event == STOP:
            stop_ns = receive_ns if mark.stop_ns is None else mark.stop_ns
            problems = mark.problems or tuple(getattr(event, "problems", ()))
            mark = replace(mark, stop_ns=stop_ns, problems=problems, accepted=not problems)
        given = {"label": event.label or mark.label, "comment": event.comment or mark.comment}
        marks[event.episode] = replace(mark, **given)
    return list(marks.values())


def _ended(mark: Mark, next_ns: int) -> Mark:
    """An episode when the next one starts: it has ended before, with or without a stop mark."""
    return mark if mark.stop_ns is not None else replace(mark, stop_ns=next_ns - 1)


def split_by_instruction(instructions: Iterable[tuple[int, str]]) -> list[Mark]:
    """Each message on the instruction topic begins an episode, also one that repeats the last text.

    Given receive times [ns] and texts in order. What comes before the first belongs to no episode. Empty texts begin
    none: they end the one before.
    """
    said = list(instructions)
    stops: list[int | None] = [receive_ns - 1 for receive_ns, _ in said[1:]]
    marks = [
        Mark("", start, stop, text) for (start, text), stop in zip(said, [*stops, None], strict=True) if text.strip()
    ]
    return _numbered(marks)


def split_by_events(events: Iterable[tuple[int, bool]]) -> list[Mark]:
    """Each event that ends an episode ends one, and the next begins right after it.

    Given receive times [ns] and whether an event says success, terminal or truncated, in order. Ends less than
    `REPEAT_NS` apart with no other event between them are one end said repeatedly. After the last end, there is another
    episode if there is another event.
    """
    marks: list[Mark] = []
    start: int | None = None
    ended: int | None = None  # when the event before this one ended an episode
    for receive_ns, ends in events:
        if ends and (ended is None or receive_ns - ended >= REPEAT_NS):
            marks.append(Mark("", start, receive_ns))
        if ends:
            start = receive_ns + 1
        ended = receive_ns if ends else None
    if not marks or ended is None:
        marks.append(Mark("", start, None))
    return _numbered(marks)


def split_by_gap(times: Iterable[int], seconds: float) -> list[Mark]:
    """Episodes between silences of all required topics longer than this; receive times [ns] in order."""
    return _numbered([Mark("", first, last) for first, last in _runs(times, round(seconds * 1e9))])


def _runs(times: Iterable[int], gap_ns: int) -> Iterator[tuple[int, int]]:
    """First and last of the times between which no gap is longer."""
    first = last = None
    for time in times:
        if last is not None and time - last > gap_ns:
            yield first, last
            first = time
        first, last = time if first is None else first, time
    if first is not None:
        yield first, last


def _numbered(marks: Sequence[Mark]) -> list[Mark]:
    """Names that say nothing but the order: 000, 001, …"""
    return [replace(mark, episode=f"{number:03}") for number, mark in enumerate(marks)]
