"""The structure of an MCAP file, whatever is wrong with it: its records, where they stop making sense and go on again.

Nothing is believed that the file's bounds contradict; nothing is allocated before its length was compared with them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from mcap import records
from mcap.opcode import Opcode

from qtx_ros.bags.chunks import (
    CHUNK_LIMIT,
    COMPRESSIONS,
    Chunk,
    Content,
    Entry,
    Message,
    entries,
    read_chunk,
    read_message,
    unpack,
)
from qtx_ros.bags.records import (
    ANY,
    BETWEEN,
    CHAIN,
    FOOTER_BYTES,
    HEAD,
    HEADER_BYTES,
    MAGIC,
    PATTERN_BYTES,
    Damage,
    Problem,
    Record,
    check_length,
    may_begin,
    parse,
)
from qtx_ros.errors import QtxError

_WINDOW = 4 << 20  # read at once while looking for the next record [bytes]


class Scan:
    """An open MCAP file; a context manager. `problems` grows as the file is walked; every walk starts it anew."""

    def __init__(self, path: str | Path, limit: int = CHUNK_LIMIT) -> None:
        self.path, self.limit = Path(path), limit
        try:
            self._file = open(self.path, "rb")
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise QtxError(f"cannot read {self.path}: {error.strerror}") from None
        self.problems: list[Problem] = []
        self.complete = False  # a walk came to the end mark of the file
        self._chunked: bool | None = None

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file, fewer at its end."""
        try:
            self._file.seek(offset)
            return self._file.read(max(0, min(length, self.size - offset)))
        except OSError as error:
            raise QtxError(f"cannot read {self.path} at byte {offset}: {error.strerror}") from None

    # --- the top level ---

    def records(self) -> Iterator[Record]:
        """Every record of the file in order, but for damaged ones: those are in `problems`, and the walk goes on after
        them. Work and memory do not depend on a record's length."""
        self.problems, self.complete = [], False
        at = self._begin()
        while at < self.size and not self.complete:
            try:
                record = self.record(at)
            except Damage as damage:
                record = self._cut_off(at)
                if record is None:
                    at = self._skip(at, str(damage))
                    continue
            if self._chunked is None and record.opcode in (Opcode.MESSAGE, Opcode.CHUNK):
                self._chunked = record.opcode == Opcode.CHUNK
            yield record
            at = self._after(record)
        if not self.complete and not any(p.offset + p.bytes >= self.size for p in self.problems):
            self._problem(self.size, "the file ends before it was closed")

    def record(self, offset: int) -> Record:
        """The record that begins at a byte of the file; Damage if none does."""
        head = self.read(offset, HEADER_BYTES) if offset >= 0 else b""
        if len(head) < HEADER_BYTES:
            raise Damage(f"the file ends {len(head)} bytes into a record")
        opcode, length = HEAD.unpack(head)
        record = Record(opcode, offset, length)
        check_length(record, self.size)
        if opcode == Opcode.CHUNK:
            chunk = self.chunk(record)
            if chunk.data_offset + chunk.data_size != record.end:
                raise Damage(f"a chunk of {length} bytes says its data has {chunk.data_size}")
        elif opcode == Opcode.MESSAGE_INDEX:
            (entries,) = struct.unpack("<I", self.read(record.start + 2, 4))
            if entries % 16 or entries + 6 != length:
                raise Damage(f"a message index of {length} bytes says it has {entries}")
        elif opcode == Opcode.MESSAGE:
            self._check_message(record)
        elif opcode < 0x80:
            self.parse(record)
        return record

    def _check_message(self, record: Record) -> None:
        """Damage unless something like a record follows: nothing else tells of a message's wrong length."""
        if record.length > self.limit:
            raise Damage(f"a message of {record.length} bytes, at most {self.limit} are believed")
        follows = self.read(record.end, HEADER_BYTES)
        if len(follows) == HEADER_BYTES and not (0 < follows[0] <= Opcode.DATA_END and follows[6:] == b"\0\0\0"):
            raise Damage(f"a message of {record.length} bytes that no record follows")

    def _begin(self) -> int:
        if self.read(0, len(MAGIC)) == MAGIC:
            return len(MAGIC)
        reason = "the file does not begin as an MCAP file" if self.size else "the file is empty"
        try:
            found = self.record(len(MAGIC)).offset
            self._problem(0, reason, found)
            return found
        except Damage:
            return self._skip(0, reason)

    def _cut_off(self, at: int) -> Record | None:
        """The chunk at `at` that the file ends in, if there is one and nothing that makes sense follows."""
        record = self._open_chunk(at)
        if record is None or self._next(at + 1) < self.size:
            return None
        self._problem(at, f"the file ends {self.size - at} bytes into a chunk of {record.length}", self.size - at)
        return record

    def _open_chunk(self, at: int) -> Record | None:
        """The chunk that begins at `at` and is longer than the file, if its header makes sense."""
        head = self.read(at, HEADER_BYTES)
        if len(head) < HEADER_BYTES or head[0] != Opcode.CHUNK:
            return None
        record = Record(Opcode.CHUNK, at, HEAD.unpack(head)[1], cut=True)
        try:
            chunk = self.chunk(record)
        except Damage:
            return None
        sensible = chunk.compression in COMPRESSIONS and chunk.data_offset + chunk.data_size == record.end
        return record if sensible and record.end > self.size else None

    def _after(self, record: Record) -> int:
        """Where the record after this one begins."""
        if record.opcode == Opcode.FOOTER:
            self.complete = self.read(record.end, len(MAGIC) + 1) == MAGIC
            if not self.complete:
                self._problem(record.end, "the file does not end after its footer")
        return min(record.end, self.size)

    # --- going on after damage ---

    def _skip(self, at: int, reason: str) -> int:
        """Note a problem; returns where the file makes sense again."""
        found = self._next(at + 1)
        self._problem(at, reason, found - at)
        return found

    def _problem(self, offset: int, reason: str, size: int = 0) -> None:
        self.problems.append(Problem(offset, reason, size))

    def _next(self, at: int) -> int:
        """The next byte from which records follow each other, or the size of the file."""
        pattern = BETWEEN if self.chunked else ANY
        while at < self.size:
            window = self.read(at, _WINDOW + PATTERN_BYTES)
            for match in pattern.finditer(window, 0, len(window)):
                start = match.start()
                if start < _WINDOW and may_begin(window, start, self.size - at) and self._chains(at + start):
                    return at + start
            at += _WINDOW
        return self.size

    def _chains(self, at: int) -> bool:
        """Whether records that make sense follow each other from here on, or lead to the end of the file."""
        try:
            for _ in range(CHAIN):
                record = self.record(at)
                if record.opcode >= 0x80 or (record.opcode == Opcode.CHUNK and not self.chunked):
                    return False
                at = record.end
                if at == self.size or (record.opcode == Opcode.FOOTER and self.read(at, len(MAGIC) + 1) == MAGIC):
                    return True
            return True
        except Damage:
            return self._open_chunk(at) is not None

    @property
    def chunked(self) -> bool:
        """Whether messages stand in chunks, by what was seen so far, the summary, or the first megabytes."""
        if self._chunked is None:
            beginning = self.read(0, _WINDOW)
            matches = (beginning[match.start()] for match in BETWEEN.finditer(beginning))
            indexed = any(record.opcode == Opcode.CHUNK_INDEX for record in self.summary())
            self._chunked = indexed or any(opcode in (Opcode.CHUNK, Opcode.MESSAGE_INDEX) for opcode in matches)
        return self._chunked

    # --- what is in a record ---

    def parse(self, record: Record) -> records.McapRecord:
        """The content of any record but messages and chunks, as `mcap` reads it; Damage if it is not what it says."""
        return parse(record.opcode, self.read(record.start, record.length))

    def chunk(self, record: Record) -> Chunk:
        """The header of a chunk record; Damage if it is none."""
        return read_chunk(record.offset, self.read(record.start, 64))

    def content(self, record: Record) -> Content:
        """The bytes of a chunk, decompressed; with a `problem` if they are not to be trusted."""
        chunk = self.chunk(record)
        if max(chunk.size, chunk.data_size) > self.limit:
            return Content(chunk, b"", f"it declares {max(chunk.size, chunk.data_size)} bytes, more than is believed")
        return unpack(chunk, self.read(chunk.data_offset, chunk.data_size), self.limit)

    def message(self, record: Record) -> Message:
        """A message that stands outside chunks."""
        return read_message(self.read(record.start, record.length), 0, record.length, record.offset)

    def summary(self) -> Iterator[Record]:
        """The records of the summary section, as far as the footer leads to one that makes sense."""
        try:
            footer = self.parse(self.record(self.size - FOOTER_BYTES - len(MAGIC)))
            at = footer.summary_start if isinstance(footer, records.Footer) else 0
            while 0 < at < self.size - FOOTER_BYTES - len(MAGIC):
                record = self.record(at)
                yield record
                at = record.end
        except Damage:
            return

    # --- all messages ---

    def messages(self, damaged: bool = False) -> Iterator[Entry]:
        """Every message of the file in the order of the file, and the schemas and channels between them.

        Chunks with a problem are left out, or with `damaged` given as far as they make sense; of a chunk that the file
        ends in, what stands before the cut is always given.
        """
        for record in self.records():
            try:
                if record.opcode == Opcode.CHUNK:
                    yield from self._inside(record, damaged)
                elif record.opcode == Opcode.MESSAGE:
                    yield self.message(record)
                elif record.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    yield self.parse(record)
            except Damage as damage:
                self._problem(record.offset, str(damage), record.length + HEADER_BYTES)

    def _inside(self, record: Record, damaged: bool) -> Iterator[Entry]:
        content = self.content(record)
        if content.problem and not record.cut:
            self._problem(record.offset, f"a chunk cannot be used, {content.problem}", record.length + HEADER_BYTES)
        if content.problem and not record.cut and not damaged:
            return
        try:
            yield from entries(content)
        except Damage:
            if not content.problem:
                raise


def scan(path: str | Path, limit: int = CHUNK_LIMIT) -> Scan:
    """Open an MCAP file for walking; QtxError if it cannot be opened."""
    return Scan(path, limit)


def check(path: str | Path, limit: int = CHUNK_LIMIT) -> list[Problem]:
    """Everything that is wrong with the structure of an MCAP file; every chunk is decompressed and its CRC compared."""
    with scan(path, limit) as walk:
        for _ in walk.messages():
            pass
        return walk.problems
