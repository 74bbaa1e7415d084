"""How every node process runs and ends: SIGINT and SIGTERM end it in order, with exit status 0."""

from __future__ import annotations

import argparse
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qtx_ros import ros

DELIVERY = 0.1  # [s] for the last messages to leave the process
Make = Callable[[ros.Context], Any]
Hook = Callable[[Any], None]


def _nothing(node: Any) -> None:
    pass


def run(ros_args: Sequence[str], make: Make, threads: int = 1, stop: Hook = _nothing, finish: Hook = _nothing) -> int:
    """Run the node that `make(context)` returns until SIGINT or SIGTERM; returns 0.

    `stop(node)` is called at once, beside callbacks that may still run; `finish(node)` after the last callback. Both
    may publish. `threads`: of the executor. Whatever `make` or a callback raises is raised here.
    """
    signals = stop_signals()
    context = ros.Context()  # one of its own: ROS must not stop publishing at a signal before the last words are out
    ros.init(args=list(ros_args), context=context)
    try:
        runner = _Runner(context, make, threads, finish, on_end=lambda: signals.put(0))
        runner.start()
        signals.get()
        runner.end(stop)
    finally:
        ros.try_shutdown(context=context)
    return 0


def overrides(arguments: argparse.Namespace, names: Iterable[str]) -> list[ros.Parameter]:
    """The parameters that a verb's command line gives; what it does not say stays the node's own."""
    given = {name: getattr(arguments, name, None) for name in names}
    return [ros.Parameter(name, value=value) for name, value in given.items() if value is not None]


def stop_signals() -> queue.SimpleQueue:
    """A queue that takes SIGINT and SIGTERM, also in a shell's background job, which begins with SIGINT ignored."""
    signals: queue.SimpleQueue = queue.SimpleQueue()  # a handler may put while its own thread gets; Event would block
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: signals.put(number))
    return signals


class _Runner(threading.Thread):
    """Makes and spins the node in one thread, as OpenGL asks for; the main thread is free for signals."""

    def __init__(
        self, context: ros.Context, make: Make, threads: int, finish: Hook, on_end: Callable[[], None]
    ) -> None:
        super().__init__(name="node", daemon=True)
        self._context, self._make, self._threads = context, make, threads
        self._finish, self._on_end, self._stopping = finish, on_end, threading.Event()
        self._made: tuple[Any, Any] | None = None  # the node, and a guard condition that wakes its executor
        self._error: BaseException | None = None

    def end(self, stop: Hook) -> None:
        """End the node; raises what ended it before."""
        self._stopping.set()
        if self._made is not None:
            node, guard = self._made
            guard.trigger()
            stop(node)
        self.join()
        if self._made is not None:
            time.sleep(DELIVERY)  # before the executor's shutdown: rclpy's does not wait for callbacks in other threads
            self._executor.shutdown()
            self._made[0].destroy_node()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # the main thread raises it
            self._error = error
        finally:
            self._on_end()

    def _run(self) -> None:
        node = self._make(self._context)
        self._executor = self._create_executor()
        self._executor.add_node(node)
        self._made = node, node.create_guard_condition(lambda: None, ros.ReentrantCallbackGroup())
        try:
            while not self._stopping.is_set():
                self._executor.spin_once()
        finally:
            self._finish(node)

    def _create_executor(self) -> Any:
        if self._threads == 1:
            return ros.SingleThreadedExecutor(context=self._context)
        return ros.MultiThreadedExecutor(num_threads=self._threads, context=self._context)
