"""What people say of a recording afterwards: a versioned file beside the bag. The recording itself is never touched.

The file is a list that only grows. An entry says only what it changes; later entries win.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qtx_ros import config
from qtx_ros.errors import QtxError
from qtx_ros.files import write_atomically

FORMAT = 2
LABELS_FILE = "labels.json"
LABELS = ("success", "failure", "discard")
ENDS = ("terminated", "truncated")


@dataclass(frozen=True)
class Label:
    """What is said of one episode. None: nothing is said, what was known before stays."""

    label: str | None = None  # success, failure, discard
    reward: float | None = None  # of the last step, instead of 1 for a success and 0 for a failure
    end: str | None = None  # terminated: the episode ended by itself; truncated: it was cut
    instruction: str | None = None
    comment: str | None = None
    interventions: tuple[tuple[int, int], ...] | None = None  # a human drove: [start, stop) ns of the recorder's clock
    accept: bool | None = None  # whether a recording that broke the robot's limits is used all the same
    episode: str = ""  # for a bag with several episodes: which one; empty: all of them
    time: int = 0  # when it was said [ns]
    by: str = ""  # who said it

    def __post_init__(self) -> None:
        if self.label is not None and self.label not in LABELS:
            raise QtxError(f"label is {self.label!r}, expected one of {', '.join(LABELS)}")
        if self.end is not None and self.end not in ENDS:
            raise QtxError(f"end is {self.end!r}, expected one of {', '.join(ENDS)}")
        for start, stop in self.interventions or ():
            if not start < stop:
                raise QtxError(f"an intervention from {start} to {stop} ns ends before it begins")


def labels_path(bag: str | Path) -> Path:
    """The labels of a bag: inside its directory, or beside a bag that is a single file."""
    bag = Path(bag)
    return bag.with_name(f"{bag.name}.{LABELS_FILE}") if bag.is_file() else bag / LABELS_FILE


def read_labels(bag: str | Path) -> list[Label]:
    """Everything said of a bag, oldest first."""
    path = labels_path(bag)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["labels"]
        return [config.build(Label, _known(entry), f"labels[{i}]") for i, entry in enumerate(entries)]
    except FileNotFoundError:
        return []
    except QtxError as error:
        raise QtxError(f"{path}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise QtxError(f"{path} is not a list of labels, delete it or write it anew") from None


def _known(entry: dict) -> dict:
    """An entry without what it leaves open; format 1 said so with empty texts."""
    return {key: value for key, value in dict(entry).items() if value not in (None, "")}


def add_label(bag: str | Path, label: Label) -> Label:
    """Append to what was said of a bag; returns the entry, with time and author filled in."""
    label = replace(label, time=label.time or time.time_ns(), by=label.by or author())
    entries = [*read_labels(bag), label]
    said = [{key: value for key, value in asdict(entry).items() if value not in (None, "")} for entry in entries]
    write_atomically(labels_path(bag), json.dumps({"format": FORMAT, "labels": said}, indent=1).encode())
    return label


def current(labels: Iterable[Label], episode: str = "") -> Label:
    """What holds of an episode after all that was said."""
    result = Label(episode=episode)
    for entry in labels:
        if entry.episode in ("", episode):
            said = {key: value for key, value in vars(entry).items() if value is not None and key != "episode"}
            result = replace(result, **said)
    return result


def author() -> str:
    """user@host, as far as the system knows."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()
