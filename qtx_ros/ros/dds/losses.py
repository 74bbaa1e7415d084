"""Messages that never arrived, by the sequence numbers of their writers.

Cyclone DDS tells its readers nothing about gaps on the wire. Its debug monitor, a TCP port on which it describes its
entities as JSON, says how far each remote writer has come; what a reader has taken from that writer is missing or not.
The monitor is opened where QTX_ROS_COUNT_LOST=1, as the recorder sets it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from contextlib import closing

from qtx_ros.ros.dds.endpoints import Reader

SECONDS = 0.5  # between two looks
SOON = 0.05  # a new writer is looked at so soon: what it loses before that is not known
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
    """What one reader missed of one writer. A message under way must not count: only what is missing at two looks."""

    def __init__(self) -> None:
        self.lost = 0
        self._base: int | None = None  # sequence number minus messages taken, when nothing was lost
        self._before = 0

    def look(self, newest: int, taken: int) -> None:
        """The writer has come to sequence number `newest`, of its messages `taken` were taken."""
        self._base = newest - taken if self._base is None else min(self._base, newest - taken)
        missing = newest - taken - self._base
        self.lost = max(self.lost, min(missing, self._before))
        self._before = missing


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
        while not self._ended.wait(SOON):
            with self._lock:
                watched = list(self._tallies.items())
            unknown = any(len(reader.taken) > len(tallies) for reader, (tallies, _) in watched)
            if unknown or time.monotonic() - looked > SECONDS:
                looked = time.monotonic()
                self._look_at_all(watched)

    def _look_at_all(self, watched: list) -> None:
        try:
            newest = sequence_numbers(self._port)
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return  # CYCLONEDDS_URI closed the monitor
        for reader, (tallies, on_lost) in watched:
            self._look(reader, tallies, on_lost, newest)

    def _look(self, reader: Reader, tallies: dict[int, Tally], on_lost, newest: dict[str, int]) -> None:
        before = sum(tally.lost for tally in tallies.values())
        for handle in list(reader.taken):
            tally = tallies.setdefault(handle, Tally())
            sequence = newest.get(reader.writer_guid(handle))
            if sequence is not None and not reader.is_waiting():
                tally.look(sequence, reader.taken[handle])
        lost = sum(tally.lost for tally in tallies.values())
        if lost > before:
            on_lost(lost)
