"""Work done a few steps ahead, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

THREADS = 2  # the second prepares the next result while the first one waits for the last frames of its own


class Prefetch:
    """Calls `make(0), make(1), …` in threads, `ahead` results before they are wanted; a context manager."""

    def __init__(self, make: Callable[[int], Any], ahead: int) -> None:
        self._make, self._ahead = make, ahead
        self._threads = ThreadPoolExecutor(min(THREADS, ahead), "prefetch")
        self._pending: deque[Future] = deque()
        self._count = 0

    def __enter__(self) -> Prefetch:
        self._fill()
        return self

    def __exit__(self, *_) -> None:
        self._threads.shutdown(cancel_futures=True)

    def get(self) -> Any:
        """The next result; raises what `make` raised."""
        self._fill()
        result = self._pending.popleft().result()
        self._fill()
        return result

    def _fill(self) -> None:
        while len(self._pending) < self._ahead:
            self._pending.append(self._threads.submit(self._make, self._count))
            self._count += 1
