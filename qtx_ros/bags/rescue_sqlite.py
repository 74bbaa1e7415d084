"""What one damaged sqlite3 bag file still gives: every row that SQLite can still reach, into the recovered bag."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from qtx_ros.bags.recovered import Loss
from qtx_ros.bags.rescue import LAST_NS, Tally, unpacked
from qtx_ros.bags.target import Target, Topic

BESIDE = ("-wal", "-journal")  # what SQLite had not yet taken into the file
LAST_ROW = (1 << 63) - 1
NOTHING = -1
Row = tuple[int, int, int, bytes]  # id, topic id, receive time [ns], message


class SqliteRescue:
    """Copies one file; `run` does it all. The file and what lies beside it are not touched, `scratch` is."""

    def __init__(self, file: Path, target: Target, scratch: Path) -> None:
        self._file, self._target, self._scratch = file, target, scratch
        self._last_ns: int | None = None
        self._open = False  # the last loss still waits for a message after it
        self.tally = Tally()

    def run(self, progress: Callable[[int], None] = lambda at: None) -> Tally:
        """Copy everything; `progress` hears roughly the position."""
        self._target.begin(library="qtx_ros recover")
        before = sum(self._target.counts.values())
        self._copy(self._as_sqlite_sees_it(), progress)
        if any(self._beside()) and sum(self._target.counts.values()) == before:
            self._copy(self._file, progress)  # SQLite took back all of it; without its journal something is there
        self._target.end()
        return self.tally

    def _beside(self) -> list[Path]:
        files = [self._file.with_name(self._file.name + end) for end in BESIDE]
        return [file for file in files if file.exists() and file.stat().st_size]

    def _as_sqlite_sees_it(self) -> Path:
        """The file, or where something lies beside it a copy that SQLite has put in order."""
        beside = self._beside()
        if not beside:
            return self._file
        self._scratch.mkdir(exist_ok=True)
        for file in (self._file, *beside):
            shutil.copyfile(file, self._scratch / file.name)
        try:
            with closing(sqlite3.connect(self._scratch / self._file.name)) as database:
                database.execute("PRAGMA journal_mode=DELETE").fetchall()
                database.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error as error:
            self._lose(f"SQLite cannot take in what lies beside the file: {error}")
        return self._scratch / self._file.name

    def _copy(self, file: Path, progress: Callable[[int], None]) -> None:
        size = file.stat().st_size
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)) as database:
            database.text_factory = lambda raw: raw.decode(errors="replace")
            try:
                database.execute("PRAGMA writable_schema=ON")  # else a file that is cut off is refused as a whole
                _refuse_programs(database)
                topics = self._topics(database)
                done = 0
                for row in self._rows(database):
                    done = min(size, done + len(row[3]) + 50 if isinstance(row[3], bytes) else done)
                    self._keep(topics, row)
                    progress(done)
            except sqlite3.Error as error:
                self._lose(f"SQLite cannot read it: {error}")

    def _topics(self, database: sqlite3.Connection) -> dict[int, Topic]:
        """Topics by their id, in all forms that rosbag2 has used."""
        columns = {name for _, name, *_ in database.execute("PRAGMA table_info(topics)")}
        wanted = ("id", "name", "type", "serialization_format", "offered_qos_profiles", "type_description_hash")
        if not {"id", "name", "type"} <= columns:
            raise sqlite3.DatabaseError("it has no table of topics")
        fields = ", ".join(name if name in columns else "''" for name in wanted)
        definitions = self._definitions(database)
        topics = {}
        for number, name, type, encoding, qos, type_hash in database.execute(f"SELECT {fields} FROM topics"):
            metadata = {"offered_qos_profiles": str(qos), "topic_type_hash": str(type_hash)}
            definition = definitions.get(str(type), (b"", ""))
            topics[number] = Topic(str(name), str(type), str(encoding) or "cdr", *definition, metadata)
            self._target.declare(topics[number])
        return topics

    def _definitions(self, database: sqlite3.Connection) -> dict[str, tuple[bytes, str]]:
        try:
            rows = database.execute("SELECT topic_type, encoded_message_definition, encoding FROM message_definitions")
            return {str(type): (str(text).encode(), str(encoding)) for type, text, encoding in rows}
        except sqlite3.Error:  # before Iron there were none
            return {}

    def _rows(self, database: sqlite3.Connection) -> Iterator[Row]:
        """All rows that can be reached, in the order they were written; damaged stretches are jumped over."""
        last = -1
        while last is not None:
            try:
                query = "SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id"
                for row in database.execute(query, (last,)):
                    if row[0] <= last:
                        raise sqlite3.DatabaseError("its pages lead in a circle")
                    yield row
                    last = row[0]
                return
            except sqlite3.DatabaseError as error:
                after = _next_row(database, last)
                until, many = ("the end", None) if after is None else (after - 1, after - last - 1)
                self._lose(f"rows {last + 1} to {until}: {error}", many)
                last = None if after is None else after - 1

    def _keep(self, topics: dict[int, Topic], row: Row) -> None:
        _, topic_id, log_ns, data = row
        topic = topics.get(topic_id)
        if topic is None or type(log_ns) is not int or not 0 <= log_ns < LAST_NS or not isinstance(data, bytes):
            self._drop("rows that are no messages of a known topic")
        elif (message := unpacked(memoryview(data), topic.encoding)) is None:
            self._drop("messages that do not decompress")
            self.tally.lost[topic.name] += 1
        else:
            self._target.write((topic.name, topic.type), log_ns, message, log_ns, 0)
            self._end_loss(log_ns)

    # --- losses ---

    def _lose(self, reason: str, messages: int | None = None) -> None:
        self.tally.losses.append(Loss(self._file.name, 0, 0, reason, self._last_ns, messages=messages))
        self._open = True

    def _drop(self, reason: str) -> None:
        """A row that is there and is no use; many of a kind in a row are one loss."""
        if not self.tally.losses or self.tally.losses[-1].reason != reason:
            self._lose(reason, 0)
        loss = self.tally.losses[-1]
        self.tally.losses[-1] = replace(loss, messages=(loss.messages or 0) + 1)

    def _end_loss(self, log_ns: int) -> None:
        if self._open:
            self.tally.losses[-1] = replace(self.tally.losses[-1], end_ns=log_ns)
            self._open = False
        self._last_ns = max(log_ns, self._last_ns or 0)


def _refuse_programs(database: sqlite3.Connection) -> None:
    """Tables of a recording are plain: a view or a computed column would be a stranger's program."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE name IN ('messages', 'topics', 'message_definitions')"
    for kind, name, sql in database.execute(query):
        text = " ".join(str(sql).upper().split())
        if kind != "table" or not text.startswith("CREATE TABLE") or " AS (" in text:
            raise sqlite3.DatabaseError(f"its {kind} {name!r} is no plain table")


def _next_row(database: sqlite3.Connection, last: int) -> int | None:
    """The first row after `last` that can be read again; None if there is none."""
    low, step = last + 1, 1
    found = None
    while found is None and last + 2 * step < LAST_ROW:  # ever further, until something or nothing more is there
        high = last + 1 + step
        found = _first_from(database, high)
        low, step = (high if found is None else low), 2 * step
    if found is None:
        return None
    while low + 1 < high:  # and back to the first of it
        middle = (low + high) // 2
        there = _first_from(database, middle)
        low, high = (middle, high) if there is None else (low, middle)
        found = found if there is None or there == NOTHING else there
    return None if found == NOTHING else found


def _first_from(database: sqlite3.Connection, number: int) -> int | None:
    """The first row from `number` on; NOTHING if there is none, None if it cannot be read."""
    try:
        row = database.execute("SELECT id, data FROM messages WHERE id >= ? ORDER BY id LIMIT 1", (number,)).fetchone()
        return NOTHING if row is None else row[0] if row[0] >= number else None
    except sqlite3.DatabaseError:
        return None
