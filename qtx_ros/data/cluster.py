"""One function over many tasks, in processes or on Ray. A worker that dies costs its task at most, never the run.

Tasks and results travel between processes, so the function stands in a module, and both are plain dataclasses.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from qtx_ros.errors import QtxError

ATTEMPTS = 2  # a task that kills its worker so often is given up
LOCAL = "local"  # the address of a Ray of our own


@dataclass(frozen=True)
class Lost:
    """A task that gave no result, and why."""

    reason: str


Results = Iterator[tuple[int, Any]]


def in_processes(work: Callable, tasks: Sequence, workers: int, timeout: float | None = None) -> Results:
    """(number of a task, its result or Lost) as they come, from `workers` processes of one thread each.

    A task whose worker is killed is tried once more; one that takes longer than `timeout` [s] is given up.
    """
    crew = _Crew(work, tasks, timeout)
    try:
        yield from crew.run(min(workers, len(tasks)))
    finally:
        crew.stop()


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    task: int | None = None
    started: float = 0.0


class _Crew:
    """Processes, and which task each of them has."""

    def __init__(self, work: Callable, tasks: Sequence, timeout: float | None) -> None:
        self._work, self._tasks, self._timeout = work, tasks, timeout
        self._waiting = deque(range(len(tasks)))
        self._attempts: Counter[int] = Counter()
        self._workers: list[_Worker] = []

    def run(self, count: int) -> Results:
        """The results of all tasks from `count` workers. QtxError if workers do not even start."""
        while self._waiting or self._busy():
            while len(self._workers) < min(count, len(self._waiting) + self._busy()):
                self._workers.append(self._hire())
            for worker in self._workers:
                self._give(worker)
            wait([worker.pipe for worker in self._workers], self._patience())
            for worker in list(self._workers):
                yield from self._hear(worker)

    def _busy(self) -> int:
        return sum(worker.task is not None for worker in self._workers)

    def _hire(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._work, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker) -> None:
        if not worker.ready or worker.task is not None or not self._waiting:
            return
        worker.task, worker.started = self._waiting.popleft(), time.monotonic()
        self._attempts[worker.task] += 1
        try:
            worker.pipe.send(self._tasks[worker.task])
        except OSError:  # it died at once: `_hear` notices
            pass

    def _patience(self) -> float | None:
        """How long the next time limit is away [s]."""
        if self._timeout is None:
            return None
        began = [worker.started for worker in self._workers if worker.task is not None]
        return max(0.0, min(began) + self._timeout - time.monotonic()) if began else None

    def _hear(self, worker: _Worker) -> Results:
        """The result of a worker that has one, or what became of it."""
        task = worker.task
        try:
            if worker.pipe.poll():
                result = worker.pipe.recv()
                worker.ready, worker.task = True, None
                if task is not None:
                    yield task, result
                return
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if task is not None and self._timeout is not None and time.monotonic() - worker.started > self._timeout:
            self._dismiss(worker)
            yield task, Lost(f"took longer than {self._timeout:g} s")

    def _bury(self, worker: _Worker) -> Results:
        """A worker died: its task is tried again, or given up."""
        worker.process.join(1.0)  # its own exit status counts, not that of our kill
        self._dismiss(worker)
        if not worker.ready:
            raise QtxError(f"a worker process died {_death(worker.process.exitcode)} before it had a task")
        if worker.task is None:
            return
        if self._attempts[worker.task] < ATTEMPTS:
            self._waiting.append(worker.task)
            return
        yield worker.task, Lost(f"its worker died {ATTEMPTS} times, the last time {_death(worker.process.exitcode)}")

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()

    def stop(self) -> None:
        """End all workers."""
        for worker in list(self._workers):
            self._dismiss(worker)


def _death(status: int | None) -> str:
    if status is None or status >= 0:
        return f"with exit status {status}"
    name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
    return f"by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


def _serve(work: Callable, pipe: Connection) -> None:
    """The life of a worker process: one task after the other, until nobody wants more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _one_thread()
    pipe.send("ready")
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(work(task))


def _die_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


# --- Ray ---------------------------------------------------------------------------------------------------------

def on_ray(
    work: Callable, tasks: Sequence, address: str = LOCAL, workers: int | None = None, timeout: float | None = None
) -> Results:
    """As `in_processes`, on the Ray cluster at an address; "local" starts one of `workers` processes here.

    Every CPU of the cluster gets a task. The function's module has to be installed on every node.
    """
    ray = _import_ray()
    with _session(ray, address, workers):
        remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_alone)
        waiting, running = deque(range(len(tasks))), {}
        try:
            while waiting or running:
                while waiting and len(running) < max(1, int(ray.cluster_resources().get("CPU", 1))):
                    number = waiting.popleft()
                    running[remote.remote(work, tasks[number])] = (number, time.monotonic())
                done, _ = ray.wait(list(running), timeout=timeout and min(timeout, 1.0))
                yield from ((running.pop(reference)[0], _result(ray, reference)) for reference in done)
                yield from _late(ray, running, timeout)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise QtxError("--ray needs Ray: pip install 'qtx_ros[ray]'") from None
    return ray


@contextmanager
def _session(ray: Any, address: str, workers: int | None) -> Iterator[None]:
    """A connection to Ray, unless there is one; what was opened is closed."""
    if ray.is_initialized():
        yield
        return
    own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise QtxError(f"cannot reach Ray at {address!r}: {' '.join(str(error).split())}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _alone(work: Callable, task: Any) -> Any:
    _one_thread()
    return work(task)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.WorkerCrashedError):
            return Lost(f"its worker died {ATTEMPTS} times (out of memory?)")
        return Lost(f"Ray gave it up: {str(error).strip().splitlines()[0]}")


def _late(ray: Any, running: dict, timeout: float | None) -> Results:
    """Give up what runs for longer than `timeout` [s]."""
    for reference, (number, started) in list(running.items()):
        if timeout and time.monotonic() - started > timeout:
            ray.cancel(reference, force=True)
            del running[reference]
            yield number, Lost(f"took longer than {timeout:g} s")
