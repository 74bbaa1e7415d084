"""A recorder in the test's own process, for what cannot be done to another: set its clock, break its disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recorder_process import robot_file

from qtx_ros import ros
from qtx_ros.nodes.recorder import Recorder


@contextmanager
def recorder_inside(folder: Path, **parameters: object) -> Iterator[Recorder]:
    """A recorder that a thread of its own spins; what its callbacks raise is raised at the end."""
    values = {"robot": str(robot_file(folder)), "directory": str(folder / "bags"), "min_free_mib": 0} | parameters
    context = ros.Context()
    ros.init(args=[], context=context)
    node = Recorder([ros.Parameter(name, value=value) for name, value in values.items()], context=context)
    executor = ros.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ended, raised = threading.Event(), []

    def spin() -> None:
        try:
            while not ended.is_set():
                executor.spin_once(timeout_sec=0.1)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield node
    finally:
        ended.set()
        thread.join()
        node.finish()
        executor.shutdown()
        node.destroy_node()
        ros.try_shutdown(context=context)
    for error in raised:
        raise error
