"""What a recovery found, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Loss:
    """A place in a file that nothing could be made of."""

    file: str
    offset: int
    bytes: int
    reason: str
    start_ns: int | None = None  # the receive times it lies between; None: the recording's ends
    end_ns: int | None = None
    messages: int | None = None  # None: nobody knows


@dataclass(frozen=True)
class Recovered:
    """A bag made of what could be read of another. `path` is None if that was nothing."""

    source: Path
    path: Path | None
    kept: Mapping[str, int] = field(default_factory=dict)  # messages of each topic in the new bag
    lost: Mapping[str, int] = field(default_factory=dict)  # messages of each topic known to have been there and gone
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    first_ns: int = 0  # receive times of the first and last message
    last_ns: int = 0
    exact: bool = False  # `lost` is all that is lost
    seconds: float = 0.0  # how long it took
    verified: bool = False  # what was written was read back and is the same
    failed: bool = False  # it could not be finished and stays as it is; `notes` say why

    @property
    def intact(self) -> bool:
        """Nothing was missing."""
        return not self.losses and not any(self.lost.values())

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        kept = sum(self.kept.values())
        if self.failed:
            return "; ".join(self.notes)
        if self.path is None:
            return f"{self.source} holds no message that can be read"
        what = f"{self.path} holds {kept:,} messages of {self.source}, read back and found the same"
        return f"{what}; {self.loss}"

    @property
    def loss(self) -> str:
        """What is lost, as part of a sentence."""
        lost, places = sum(self.lost.values()), len(self.losses)
        where = f"in {places} place{'s'[: places != 1]}" if places else "in all"
        if self.exact or all(loss.messages is not None for loss in self.losses):
            return f"{lost:,} messages are lost, {where}" if lost else "nothing in it was lost"
        if lost:
            return f"at least {lost:,} messages are lost, {where}"
        cut_off = all(loss.end_ns is None for loss in self.losses if loss.messages is None)
        return "what came after the recording was cut off is lost" if cut_off else f"an unknown number is lost, {where}"


def table(recovered: Recovered) -> str:
    """Messages kept and lost of each topic, and what was lost where and when."""
    topics = sorted({*recovered.kept, *recovered.lost})
    width = max([5, *map(len, topics)])
    lines = [f"{'topic':<{width}}  {'kept':>10}  {'lost':>8}"]
    lines += [f"{t:<{width}}  {recovered.kept.get(t, 0):>10,}  {recovered.lost.get(t, 0):>8,}" for t in topics]
    if recovered.losses:
        lines += ["", "lost:", *(f"  {_place(loss, recovered)}" for loss in recovered.losses[:20])]
    if len(recovered.losses) > 20:
        lines.append(f"  and {len(recovered.losses) - 20} places more")
    return "\n".join([*lines, *(["", *recovered.notes] if recovered.notes else [])])


def _place(loss: Loss, recovered: Recovered) -> str:
    start = 0.0 if loss.start_ns is None else (loss.start_ns - recovered.first_ns) / 1e9
    when = f"from {start:.2f} s on" if loss.end_ns is None else f"{start:.2f} to {_end(loss, recovered):.2f} s"
    many = "" if loss.messages is None else f", {loss.messages:,} message{'s'[: loss.messages != 1]}"
    return f"{when}{many}: {loss.file} byte {loss.offset:,}, {loss.bytes:,} bytes, {loss.reason}"


def _end(loss: Loss, recovered: Recovered) -> float:
    return (loss.end_ns - recovered.first_ns) / 1e9
