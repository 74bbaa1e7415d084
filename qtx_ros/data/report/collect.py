"""Everything the report knows: the set's episodes, their totals, and the bags that did not become episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtx_ros.data.episode import Episode
from qtx_ros.data.index import read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.data.report.facts import EpisodeFacts, episode_facts
from qtx_ros.data.report.totals import SAMPLE, Totals
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

if TYPE_CHECKING:
    from qtx_ros.data.conversion import Row

FINE = ("converted", "unchanged")


@dataclass(frozen=True)
class Facts:
    """What a report is made of."""

    folder: Path
    spec: Spec
    episodes: tuple[EpisodeFacts, ...]
    totals: Totals
    broken: dict[str, str]  # episode that cannot be read → why
    refused: tuple[Row, ...]  # bags that gave no episode
    converted: bool  # the page was written by a conversion, so `refused` is all it refused

    @property
    def discarded(self) -> int:
        """Bags labelled to be thrown away."""
        return sum(row.status == "discarded" for row in self.refused)

    def count(self, label: str) -> int:
        """Episodes with a label."""
        return sum(e.label == label for e in self.episodes)

    @property
    def steps(self) -> int:
        return sum(e.steps for e in self.episodes)

    @property
    def valid(self) -> int:
        return sum(e.valid for e in self.episodes)


def collect(folder: Path, rows: Sequence[Row] = ()) -> Facts:
    """Read a training set once, episode by episode; `rows` is what a conversion said of its bags."""
    spec, names = read_index(folder)
    broken: dict[str, str] = {}
    opened = []
    for name in names:
        try:
            read_manifest(folder / name)
            opened.append(Episode(folder / name, spec))
        except QtxError as error:
            broken[name] = str(error)
    totals = Totals(spec, every=1 + sum(map(len, opened)) // SAMPLE)
    episodes = []
    for episode in opened:
        try:
            found = episode_facts(episode)
            totals.add(episode.columns)
            episodes.append(found)
        except (QtxError, OSError, ValueError, TypeError, IndexError) as error:
            broken[episode.folder.name] = _sentence(error)
        episode.__dict__.pop("columns", None)  # memory stays that of one episode
    refused = tuple(row for row in rows if row.status not in FINE)
    return Facts(folder, spec, tuple(episodes), totals, broken, refused, bool(rows))


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, QtxError) else f"the episode is damaged ({type(error).__name__}: {error})"
