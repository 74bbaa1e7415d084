"""Executors: wait for messages, requests and timers of their nodes, and run the callbacks."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent import futures

from qtx_ros.ros.dds.context import Context, get_default_context
from qtx_ros.ros.dds.endpoints import Guard, WaitSet
from qtx_ros.ros.dds.exceptions import ExternalShutdownException
from qtx_ros.ros.dds.task import Future

Work = Callable[[], None]


class Executor:
    """What both executors share: nodes, waiting, and claiming one callback after the other."""

    def __init__(self, *, context: Context | None = None) -> None:
        self._context = context or get_default_context()
        participant = self._context.participant.entity
        self._guard, self._waitset = Guard(participant), WaitSet(participant)
        self._nodes: list = []
        self._ready: deque = deque()
        self.is_shutdown = False
        self._spinning = threading.RLock()
        self._context.on_shutdown(self.wake)

    @property
    def context(self) -> Context:
        return self._context

    def add_node(self, node) -> bool:
        """Serve this node from now on; False if it was served already."""
        if node in self._nodes:
            return False
        self._nodes = [*self._nodes, node]
        node.executor = self
        self.wake()
        return True

    def remove_node(self, node) -> None:
        self._nodes = [other for other in self._nodes if other is not node]
        self.wake()

    def get_nodes(self) -> list:
        return list(self._nodes)

    def wake(self) -> None:
        """Look again at what there is to wait for."""
        self._guard.trigger()

    def spin(self) -> None:
        """Run callbacks until shutdown.

        Raises:
            ExternalShutdownException: the context was shut down, for instance by a signal.
        """
        while self._context.ok() and not self.is_shutdown:
            self.spin_once()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it; None or negative: wait for ever."""
        with self._spinning:
            claimed = self._next(timeout_sec, lambda: False)
            if claimed:
                self._run(*claimed)

    def spin_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        """Run callbacks until the future is done or the time is over."""
        future.add_done_callback(lambda _: self.wake())
        endless = timeout_sec is None or timeout_sec < 0
        deadline = None if endless else time.monotonic() + timeout_sec
        while self._context.ok() and not future.done() and not self.is_shutdown:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            self.spin_once_until_future_complete(future, left)

    def spin_once_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        """As `spin_once`, but return when the future is done."""
        with self._spinning:
            claimed = self._next(timeout_sec, future.done)
            if claimed:
                self._run(*claimed)

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop spinning; whether it stopped within the time."""
        self.is_shutdown = True
        self._guard.trigger()
        if not self._spinning.acquire(timeout=-1 if timeout_sec is None else timeout_sec):
            return False
        try:
            self._nodes = []
            self._waitset.close()
        finally:
            self._spinning.release()
        return True

    def _run(self, entity, work: Work) -> None:
        raise NotImplementedError

    def _has_room(self) -> bool:
        return True

    def _next(self, timeout_sec: float | None, stop: Callable[[], bool]) -> tuple | None:
        """(entity, work) whose callback group is claimed, or None."""
        endless = timeout_sec is None or timeout_sec < 0
        deadline = None if endless else time.monotonic() + timeout_sec
        polled = False
        while not self.is_shutdown:
            if not self._context.ok():
                raise ExternalShutdownException()
            claimed = self._claim()
            if claimed or stop():
                return claimed
            left = None if deadline is None else deadline - time.monotonic()
            if polled and left is not None and left <= 0:
                return None
            self._poll(left)
            polled = True
        return None

    def _claim(self) -> tuple | None:
        while self._ready and self._has_room():
            entity = self._ready.popleft()
            if not entity.callback_group.begin(entity):
                continue
            work = entity.take()
            if work:
                return entity, work
            entity.callback_group.end(entity)
        return None

    def _poll(self, timeout: float | None) -> None:
        """Wait until something is ready, and queue it: timers first, then messages."""
        nodes = self._nodes if self._has_room() else []
        timers = [t for node in nodes for t in node.timers if t.callback_group.can_execute(t)]
        entities = {e.condition: e for node in nodes for e in node.entities() if e.callback_group.can_execute(e)}
        due = [left for t in timers if (left := t.seconds_until_due()) is not None]
        limits = [max(0.0, seconds) for seconds in (timeout, *due) if seconds is not None]
        self._waitset.attach({self._guard.entity, *entities})
        triggered = self._waitset.wait(min(limits) if limits else None)
        if self._guard.entity in triggered:
            self._guard.reset()
        self._ready = deque(t for t in timers if t.is_ready())
        self._ready.extend(entities[c] for c in triggered if c in entities)


class SingleThreadedExecutor(Executor):
    """Runs callbacks in the thread that spins."""

    def _run(self, entity, work: Work) -> None:
        try:
            work()
        finally:
            entity.callback_group.end(entity)


class MultiThreadedExecutor(Executor):
    """Runs callbacks in a pool of threads; callback groups decide which of them may overlap."""

    def __init__(self, num_threads: int | None = None, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._threads = num_threads or max(2, len(os.sched_getaffinity(0)))
        self._pool = futures.ThreadPoolExecutor(self._threads, thread_name_prefix="ros-executor")
        self._lock = threading.Lock()
        self._running = 0
        self._failed: deque[BaseException] = deque()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and hand it to the pool; raises what an earlier callback raised."""
        super().spin_once(timeout_sec)
        self._raise_failed()

    def spin_once_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        super().spin_once_until_future_complete(future, timeout_sec)
        self._raise_failed()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop spinning and wait for the running callbacks, unless one of them calls this."""
        inside = threading.current_thread().name.startswith("ros-executor")
        stopped = super().shutdown(0.0 if inside else timeout_sec)
        self._pool.shutdown(wait=not inside and timeout_sec is None)
        return stopped

    def _has_room(self) -> bool:
        return self._running < self._threads

    def _run(self, entity, work: Work) -> None:
        with self._lock:
            self._running += 1
        self._pool.submit(self._work, entity, work)

    def _work(self, entity, work: Work) -> None:
        try:
            work()
        except BaseException as error:
            self._failed.append(error)
        finally:
            entity.callback_group.end(entity)
            with self._lock:
                self._running -= 1
            self.wake()

    def _raise_failed(self) -> None:
        if self._failed:
            raise self._failed.popleft()


_global_executor: SingleThreadedExecutor | None = None


def get_global_executor() -> Executor:
    """The executor behind `spin` and its relatives."""
    global _global_executor
    if _global_executor is None:
        _global_executor = SingleThreadedExecutor()

        def forget() -> None:
            global _global_executor
            _global_executor = None

        _global_executor.context.on_shutdown(forget)
    return _global_executor


def spin(node, executor: Executor | None = None) -> None:
    """Run the node's callbacks until shutdown."""
    executor = executor or get_global_executor()
    executor.add_node(node)
    try:
        while executor.context.ok():
            executor.spin_once()
    finally:
        executor.remove_node(node)


def spin_once(node, *, executor: Executor | None = None, timeout_sec: float | None = None) -> None:
    """Run one callback of the node."""
    executor = executor or get_global_executor()
    executor.add_node(node)
    try:
        executor.spin_once(timeout_sec=timeout_sec)
    finally:
        executor.remove_node(node)


def spin_until_future_complete(
    node, future: Future, executor: Executor | None = None, timeout_sec: float | None = None
) -> None:
    """Run the node's callbacks until the future is done or the time is over."""
    executor = executor or get_global_executor()
    executor.add_node(node)
    try:
        executor.spin_until_future_complete(future, timeout_sec)
    finally:
        executor.remove_node(node)
