"""What earlier runs made of each bag, so that a rerun reads nothing: a hidden file in the training set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qtx_ros.data.conversion import Row
from qtx_ros.data.storage import is_url
from qtx_ros.data.store import LocalStore, RemoteStore

FILE = ".convert.json"
FORMAT = 1
HELD = ("converted", "unchanged")  # rows that stand for an episode of the set


@dataclass(frozen=True)
class Entry:
    """One bag: its `stamp` (see storage.stamps), the options, what its episodes are called, and the rows it gave."""

    stamp: str
    options: str
    name: str
    rows: tuple[Row, ...]

    @property
    def episodes(self) -> tuple[str, ...]:
        """The bag's episodes in the set."""
        return tuple(row.episode for row in self.rows if row.status in HELD)

    def still_holds(self, stamp: str, options: str, hashes: Mapping[str, str]) -> bool:
        """Whether converting again would change nothing: same bag, same options, all its episodes as they were."""
        if (stamp, options) != (self.stamp, self.options) or any(row.status == "failed" for row in self.rows):
            return False
        return all(hashes.get(row.episode) == row.manifest for row in self.rows if row.status in HELD)

    def rows_again(self) -> list[Row]:
        """The rows of a run that has nothing to do."""
        return [replace(row, status="unchanged" if row.status in HELD else row.status, took=0.0) for row in self.rows]


class Ledger:
    """Bag → Entry. A file that is missing or damaged is an empty ledger: then every bag is read again."""

    def __init__(self, store: LocalStore | RemoteStore) -> None:
        self._store = store
        self._entries = dict(_read(store.read(FILE)))

    def get(self, bag: str) -> Entry | None:
        """What is known of a bag."""
        return self._entries.get(_absolute(bag))

    def note(self, bag: str, stamp: str, options: str, name: str, rows: Sequence[Row]) -> None:
        """Remember what a bag gave. Where it failed, the episodes it gave before stay its own."""
        known = self.get(bag)
        if known and any(row.status == "failed" for row in rows):
            now = {row.episode for row in rows}
            rows = [*rows, *(row for row in known.rows if row.status in HELD and row.episode not in now)]
        self._entries[_absolute(bag)] = Entry(stamp, options, name, tuple(rows))

    def write(self) -> None:
        """Keep it for the next run."""
        bags = {bag: asdict(entry) for bag, entry in self._entries.items()}
        self._store.write(FILE, json.dumps({"format": FORMAT, "bags": bags}).encode())


def _absolute(bag: str) -> str:
    return bag if is_url(bag) else str(Path(bag).resolve())


def _read(data: bytes | None):
    try:
        content = json.loads(data or "{}")
        for bag, entry in content["bags"].items() if content.get("format") == FORMAT else ():
            yield bag, Entry(**{**entry, "rows": tuple(Row(**row) for row in entry["rows"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return
