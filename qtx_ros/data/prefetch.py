"""Work done a few steps ahead, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class Prefetch:
    """Calls `make(0), make(1), …` in a thread, `ahead` results before they are wanted; a context manager."""

    def __init__(self, make: Callable[[int], Any], ahead: int) -> None:
        self._make = make
        self._queue: queue.Queue = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __enter__(self) -> Prefetch:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._stopped.is_set():
            try:
                result = (self._make(count), None)
            except Exception as error:  # handed to the consumer, who raises it
                result = (None, error)
                self._stopped.set()
            self._queue.put(result)
            count += 1

    def get(self) -> Any:
        """The next result; raises what `make` raised."""
        result, error = self._queue.get()
        if error is not None:
            raise error
        return result
