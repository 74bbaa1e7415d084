"""What an earlier recorder left unfinished is completed beside this one, but never at the cost of an episode."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtx_ros.errors import QtxError

WAIT_SECONDS = 0.5


class Salvage(threading.Thread):
    """Completes every unfinished recording of a folder once, one after the other, while no episode runs.

    It copies only what leaves `spare` bytes free. It stands still while an episode runs, and deletes what it copied
    when the episode comes to need that room.
    """

    def __init__(self, folder: Path, spare: int, recording: Callable[[], bool], logger: Any) -> None:
        """`recording()`: whether an episode runs."""
        super().__init__(name="salvage", daemon=True)
        self._folder, self._spare, self._recording, self._logger = folder, spare, recording, logger

    def run(self) -> None:
        from qtx_ros.bags.recover import salvage

        try:
            for recovered in salvage(self._folder, self._spare, self._wait):
                self._logger.warning(f"an unfinished recording was found: {recovered.sentence}")
        except (QtxError, OSError) as error:
            self._logger.error(str(error))

    def _wait(self, done: int, total: int) -> None:
        """Wait while an episode runs; QtxError when the rest of the copy would not fit any more [bytes]."""
        from qtx_ros.bags.recovery import check_room

        while self._recording():
            check_room(self._folder, "an unfinished recording", total - done, self._spare)
            time.sleep(WAIT_SECONDS)
