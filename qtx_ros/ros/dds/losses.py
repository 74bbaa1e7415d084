"""Messages that never arrived, by the sequence numbers of their writers.

Cyclone DDS tells its readers nothing about gaps on the wire. Its debug monitor, a TCP port on which it describes its
entities as JSON, says how far each remote writer has come; what a reader has taken from that writer is missing or not.
The monitor is opened where QTX_ROS_COUNT_LOST=1, as the recorder sets it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import threading
import time
from collections import Counter
from contextlib import closing

from qtx_ros.ros.dds.endpoints import Reader

SECONDS = 0.5  # between two looks
SOON = 0.05  # of a new writer, or after a suspicion: what a writer loses before the first look is not known
LOOKS, LATE = 8, 1.0  # a message is lost when it is missing at so many looks in a row, for so long [s]
VARIABLE = "QTX_ROS_COUNT_LOST"


def free_port() -> int | None:
    """A TCP port for the debug monitor; None where losses are not to be counted."""
    if os.environ.get(VARIABLE) != "1":
        return None
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(port: int | None) -> str:
    """Cyclone's configuration that opens the monitor."""
    return "" if port is None else f"<Internal><MonitorPort>{port}</MonitorPort></Internal>"


def sequence_numbers(port: int) -> dict[str, int]:
    """GUID of each remote writer, as `1:2:3:4` in hexadecimal → the newest sequence number known of it.

    OSError or ValueError when the monitor does not answer.
    """
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)) as connection:
        connection.request("GET", "/")
        answer = json.loads(connection.getresponse().read())
    peers = answer["proxy_participants"]
    return {writer["guid"]: writer["last_seq"] for peer in peers for writer in peer["proxy_writers"]}


class Tally:
    """What one reader missed of one writer: never more than was lost.

    A message under way is missing, too, but not for long: only what is missing at `LOOKS` looks in a row counts.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._looks = 0
        self._base: int | None = None  # sequence number minus messages taken, while nothing is lost
        self._suspected: list[tuple[float, int]] = []  # (time [s], messages missing), looks in a row

    @property
    def hurries(self) -> bool:
        """Whether it should be looked at again soon."""
        return bool(self._suspected) or self._looks < LOOKS

    def look(self, before: int, newest: int, after: int, now: float) -> None:
        """The writer has come to sequence number `newest`; messages taken just before and just after that was asked."""
        self._looks += 1
        self._base = newest - before if self._base is None else min(self._base, newest - before)
        missing = newest - after - self._base
        if missing <= self.lost:
            self._suspected = []
            return
        self._suspected.append((now, missing))
        if len(self._suspected) >= LOOKS and now - self._suspected[0][0] >= LATE:
            self.lost = min(count for _, count in self._suspected)
            self._suspected = []


class Losses:
    """Watches readers from a thread of its own and tells each how many messages it has lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tallies: dict[Reader, tuple[dict[int, Tally], object]] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, reader: Reader, on_lost) -> None:
        """Call `on_lost(messages lost so far)` whenever that number grows."""
        with self._lock:
            self._tallies[reader] = {}, on_lost
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dds-losses", daemon=True)
                self._thread.start()

    def forget(self, reader) -> None:
        with self._lock:
            self._tallies.pop(reader, None)

    def close(self) -> None:
        self._ended.set()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join(3.0)

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._ended.wait(SOON * random.uniform(0.5, 1.5)):  # never in step with a camera
            with self._lock:
                watched = list(self._tallies.items())
            urgent = any(
                len(reader.taken) > len(tallies) or any(tally.hurries for tally in tallies.values())
                for reader, (tallies, _) in watched
            )
            if urgent or time.monotonic() - looked > SECONDS:
                looked = time.monotonic()
                self._look_at_all(watched)

    def _look_at_all(self, watched: list) -> None:
        before = {reader: Counter(reader.taken) for reader, _ in watched}
        try:
            newest = sequence_numbers(self._port)
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return  # CYCLONEDDS_URI closed the monitor
        for reader, (tallies, on_lost) in watched:
            self._look(reader, before[reader], newest, tallies, on_lost)

    def _look(self, reader: Reader, before: Counter, newest: dict, tallies: dict[int, Tally], on_lost) -> None:
        told = sum(tally.lost for tally in tallies.values())
        for handle, taken in before.items():
            tally = tallies.setdefault(handle, Tally())
            sequence = newest.get(reader.writer_guid(handle))
            if sequence is not None and not reader.is_waiting():
                tally.look(taken, sequence, reader.taken[handle], time.monotonic())
        lost = sum(tally.lost for tally in tallies.values())
        if lost > told:
            on_lost(lost)
