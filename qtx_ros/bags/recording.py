"""An episode being recorded: a queue in front of a bag, so that whoever receives messages never waits for the disk."""

from __future__ import annotations

import math
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qtx_ros.bags.writer import BagWriter
from qtx_ros.errors import QtxError

FLUSH_SECONDS = 0.5  # a crash of the process costs this much, twice as much of a stream that had just fallen silent
SYNC_SECONDS = 1.0  # so does one of the machine, while the disk keeps up


class Recording:
    """Writes `folder/name` from a thread of its own. Its methods never block but for `close` and `abort`.

    When more than `capacity` bytes wait, or after the disk refused a write (`error` says why), messages are dropped and
    counted in `lost`; a mark finds room however many wait. Another thread forces to disk what was written, so that
    neither the writer nor `close` waits long. `split_bytes` and `split_ns` as in `BagWriter`.
    """

    def __init__(
        self, folder: str | Path, name: str, capacity: int = 256 << 20, split_bytes: int = 0, split_ns: int = 0
    ) -> None:
        self.name, self.path = name, Path(folder) / name
        self._capacity, self._waiting = capacity, 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._writer = BagWriter(folder, name, split_bytes, split_ns)
        self.lost: Counter[str] = Counter()
        self.error: QtxError | None = None
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._ended = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="bag sync", daemon=True)
        self._thread.start()
        self._syncer.start()

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages of each topic in the bag so far."""
        return dict(self._writer.counts)

    @property
    def bytes(self) -> int:
        """Bytes of messages in the bag so far."""
        return self._writer.bytes

    @property
    def waiting(self) -> int:
        """Bytes of messages in memory, on their way to the disk."""
        return self._waiting

    def add_topic(self, topic: str, type: str, definition: str, type_hash: str, qos: Sequence[Mapping]) -> None:
        """Declare a topic; see `BagWriter.add_topic`."""
        self._queue.put((self._writer.add_topic, (topic, type, definition, type_hash, qos), 0))

    def write(self, topic: str, receive_ns: int, data: bytes, publish_ns: int | None = None) -> bool:
        """Queue one serialised message of a declared topic; false if it was lost."""
        return self._put(topic, receive_ns, data, publish_ns, self._capacity)

    def mark(self, topic: str, receive_ns: int, data: bytes) -> None:
        """Queue a message that the episode means nothing without, however many wait; QtxError if the disk refused."""
        if not self._put(topic, receive_ns, data, None, math.inf):
            raise self.error

    def attach(self, name: str, text: str) -> None:
        """Put a small text file beside the recording."""
        self._queue.put((self._writer.attach, (name, text), 0))

    def close(self) -> Path:
        """Write what waits and complete the bag; returns its path. QtxError if the disk refused: what it took remains
        under the hidden name."""
        self._finish()
        if self.error is None:
            try:
                return self._writer.close()
            except OSError as error:
                self.error = self._refused(error)
        self._writer.release()
        raise self.error

    def abort(self) -> None:
        """Delete the bag."""
        self._finish()
        self._writer.abort()

    def _put(self, topic: str, receive_ns: int, data: bytes, publish_ns: int | None, capacity: float) -> bool:
        with self._lock:
            if self.error is not None or self._waiting + len(data) > capacity:
                self.lost[topic] += 1
                return False
            self._waiting += len(data)
        self._queue.put((self._writer.write, (topic, receive_ns, data, publish_ns), len(data)))
        return True

    def _finish(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._ended.set()
        self._syncer.join()

    def _run(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=FLUSH_SECONDS)
            except queue.Empty:
                job = ()
            if job is None:
                return
            call, arguments, size = job or (self._writer.flush, (FLUSH_SECONDS,), 0)
            if self.error is None:
                self._do(call, arguments)
            elif size:
                self.lost[arguments[0]] += 1
            with self._lock:
                self._waiting -= size

    def _do(self, call: Callable, arguments: tuple) -> None:
        try:
            call(*arguments)
            self._writer.flush(every=FLUSH_SECONDS)
        except Exception as error:  # a thread that ended unnoticed would lose everything after it
            self.error = self._refused(error)

    def _sync(self) -> None:
        while not self._ended.wait(SYNC_SECONDS):
            try:
                self._writer.sync()
            except OSError as error:
                self.error = self._refused(error)
                return

    def _refused(self, error: Exception) -> QtxError:
        hidden = self.path.with_name(f".{self.path.name}")
        reason = getattr(error, "strerror", None) or repr(error)
        return QtxError(f"cannot write {self.path}: {reason}; what was written before is in {hidden}")
