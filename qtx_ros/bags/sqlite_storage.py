"""Reading one sqlite3 file of rosbag2. It has no checksums: what is checked is that tables are what they must be.

The file is opened read-only and as it is. Its schema is a stranger's program, so nothing but plain tables and indexes
is accepted, and every query has a budget that grows with the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from qtx_ros.bags.parts import MOST_NS, Contents, Part, Raw, Topic, cut_off, damaged
from qtx_ros.errors import QtxError

_PLAIN_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX [\w\"]+ ON [\w\"]+ ?\([\w\", ]+\)", re.I)
_NEEDED = {
    "messages": ("id", "topic_id", "timestamp", "data"),
    "topics": ("id", "name", "type", "serialization_format"),
}
_HEAD = struct.Struct(">16sH6xII60xI4x")  # magic, page size, change counter, pages, change the pages were counted at
_STEPS = 100_000  # of SQLite's virtual machine, between two looks at the budget
_SETTINGS = ("trusted_schema = OFF", "cell_size_check = ON", "ignore_check_constraints = ON", "mmap_size = 0")


class SqliteStorage:
    """An open sqlite3 file; `contents` says what is in it."""

    def __init__(self, path: Path, shown: Path | None = None) -> None:
        """QtxError if the file cannot be read or is not a sound database; it names it `shown`."""
        self.path = shown or path
        self._topics: dict[int, Topic] = {}
        try:
            self._size = path.stat().st_size
        except OSError as error:
            raise QtxError(f"cannot read {path}: {error.strerror}") from None
        self._refuse_unmerged(path)
        self._check_size(path)
        try:
            self._db = apsw.Connection(
                f"file:{quote(str(path))}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            )
        except apsw.Error as error:
            raise damaged(self.path, "byte 0", _text(error)) from None
        try:
            self._bound()
            self._check_schema()
            self._check_pages()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def contents(self) -> Contents:
        """Topics, the one part and the counts of the file."""
        self._topics = dict(self._read_topics())
        counts, times = {}, []
        query = "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages GROUP BY 1"
        for number, count, first, last in self._ask("messages", query):
            if number not in self._topics:
                raise self._damaged("messages", f"{count} messages have topic_id {number!r}, which is no topic")
            if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last <= MOST_NS):
                what = f"timestamps from {first!r} to {last!r}, expected nanoseconds since 1970"
                raise self._damaged("messages", what, self._topics[number].name)
            counts[self._topics[number].name] = counts.get(self._topics[number].name, 0) + count
            times += [first, last]
        parts = [self._part(min(times), max(times), set(counts))] if times else []
        return Contents(self.path, tuple(self._topics.values()), tuple(parts), counts, self._distro())

    # --- trust ---

    def _refuse_unmerged(self, path: Path) -> None:
        for end in ("-wal", "-journal"):
            rest = path.with_name(path.name + end)
            if rest.exists() and rest.stat().st_size:
                fix = f"sqlite3 {self.path} 'PRAGMA wal_checkpoint' merges it"
                raise QtxError(f"{self.path} was cut off before it was closed: {rest.name} was never merged; {fix}")

    def _check_size(self, path: Path) -> None:
        """A file that ends within a page, or has not the pages it says, was cut off."""
        with open(path, "rb") as file:
            head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or not head.startswith(b"SQLite format 3\0"):
            raise damaged(self.path, "byte 0", "it does not begin as a database")
        _, page, changed, pages, valid_for = _HEAD.unpack(head)
        page = 65536 if page == 1 else page
        if page < 512 or self._size % page or (changed == valid_for and pages and pages * page != self._size):
            reason = f"it says it has {pages} pages of {page} bytes, and it has {self._size} bytes"
            raise cut_off(self.path, f"byte {self._size}", reason)

    def _bound(self) -> None:
        """No value larger than the file, no query longer than a file of this size can need."""
        self._db.limit(apsw.SQLITE_LIMIT_LENGTH, max(self._size, 1 << 20))
        self._left = 100 + self._size * 20 // _STEPS
        self._db.set_progress_handler(self._spend, _STEPS)
        for setting in _SETTINGS:
            self._ask("schema", f"PRAGMA {setting}")

    def _spend(self) -> bool:
        self._left -= 1
        return self._left < 0

    def _check_schema(self) -> None:
        tables = set()
        for kind, name, sql in self._ask("schema", "SELECT type, name, sql FROM sqlite_master"):
            text = " ".join(str(sql or "").split())
            if kind == "table" and text.upper().startswith("CREATE TABLE"):
                tables.add(name)
            elif kind != "index" or (text and not _PLAIN_INDEX.fullmatch(text)):
                raise self._damaged("schema", f"it has the {kind} {name!r}, which no recording has")
        for table, needed in _NEEDED.items():
            if table not in tables:
                raise QtxError(f"{self.path} is not a bag: it has no table {table!r}, only {sorted(map(str, tables))}")
            columns = {row[1]: row[6] for row in self._ask(table, f"PRAGMA table_xinfo({table})")}
            if any(columns.get(name) != 0 for name in needed):
                odd = ", ".join(name for name in needed if columns.get(name) != 0)
                raise self._damaged(table, f"the columns {odd} are missing or computed, expected them to be stored")
        self._tables = tables

    def _check_pages(self) -> None:
        (said,) = self._ask("schema", "PRAGMA integrity_check(1)")[0]
        if said != "ok":
            raise self._damaged("messages", str(said))

    # --- tables ---

    def _read_topics(self) -> Iterator[tuple[int, Topic]]:
        definitions = self._definitions()
        for row in self._ask("topics", "SELECT id, name, type, serialization_format FROM topics ORDER BY id"):
            number, name, type, form = row
            if not (isinstance(number, int) and isinstance(name, str) and isinstance(type, str)):
                raise self._damaged("topics", f"the row {number!r} is topic {name!r} of type {type!r}, expected texts")
            yield number, Topic(name, type, str(form), *definitions.get(type, ("", "")))

    def _definitions(self) -> dict[str, tuple[str, str]]:
        """Message type → encoding and text of its definition; none before Iron."""
        if "message_definitions" not in self._tables:
            return {}
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        rows = self._ask("message_definitions", query)
        return {str(type): (str(encoding), str(text)) for type, encoding, text in rows}

    def _distro(self) -> str:
        columns = [row[1] for row in self._ask("schema", "PRAGMA table_xinfo(schema)")]
        rows = self._ask("schema", "SELECT ros_distro FROM schema") if "ros_distro" in columns else []
        return str(rows[0][0]) if rows else ""

    def _part(self, start: int, end: int, topics: set[str]) -> Part:
        return Part(start, end, 0, topics, self._read, (self.path, "table messages"))

    def _read(self, topics: Collection[str]) -> Iterator[Raw]:
        """The messages of some topics, sorted by time."""
        numbers = [number for number, topic in self._topics.items() if topic.name in topics]
        marks = ",".join("?" * len(numbers))
        query = f"SELECT id, topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp, id"
        for row, number, receive_ns, data in self._rows("messages", query, numbers):
            where, topic = f"row {row} of table messages", self._topics[number]
            if not isinstance(data, bytes) or not isinstance(receive_ns, int):
                raise damaged(self.path, where, f"the message is a {type(data).__name__} at {receive_ns!r}", topic.name)
            yield Raw(receive_ns, topic, memoryview(data), self.path, where)

    def _ask(self, table: str, query: str) -> list[tuple[Any, ...]]:
        return list(self._rows(table, query))

    def _rows(self, table: str, query: str, values: Collection[int] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(query, tuple(values))
        except apsw.InterruptError:
            raise self._damaged(table, "reading it takes more steps than a file of this size can need") from None
        except (apsw.Error, ValueError, OverflowError, MemoryError) as error:
            raise self._damaged(table, _text(error)) from None

    def _damaged(self, table: str, reason: str, topic: str = "") -> QtxError:
        return damaged(self.path, f"table {table}", reason, topic)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
