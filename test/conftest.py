"""Fixtures of every test that needs ROS; helpers in this folder are importable from every test.

Each test session has ROS domains of its own on loopback, whatever the shell says: no real robot must hear a test.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from own_domain import use_domain

from qtx_ros import ros

use_domain(0)
settings.register_profile("qtx", deadline=None)  # no test is timed
settings.load_profile("qtx")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, as would its children
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def ros_context():
    """The default context, initialised without arguments and shut down after the test."""
    ros.init(args=[])
    yield ros.get_default_context()
    ros.try_shutdown()


@pytest.fixture
def context():
    """A context of its own, initialised without arguments and shut down after the test."""
    context = ros.Context()
    ros.init(args=[], context=context)
    yield context
    ros.try_shutdown(context=context)


@pytest.fixture
def spin_until(ros_context) -> Iterator[Callable]:
    """`spin_until(predicate, *nodes, timeout=30)`: spin the nodes until the predicate holds, or fail."""
    executor = ros.SingleThreadedExecutor()

    def spin(predicate: Callable[[], bool], *nodes, timeout: float = 30.0) -> None:
        for node in nodes:
            executor.add_node(node)
        deadline = time.monotonic() + timeout
        while not predicate():
            assert time.monotonic() < deadline, f"{predicate} did not come true within {timeout} s"
            executor.spin_once(timeout_sec=0.05)

    yield spin
    executor.shutdown()


@pytest.fixture
def wait_until() -> Callable:
    """`wait_until(predicate, timeout=30)`: for things that happen in other threads or processes."""

    def wait(predicate: Callable[[], bool], timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not predicate():
            assert time.monotonic() < deadline, f"{predicate} did not come true within {timeout} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen]]:
    """`spawn(script or module arguments…)`: a Python process in a group of its own, which is killed after the test."""
    yield from _spawner()


@pytest.fixture(scope="module")
def module_spawn() -> Iterator[Callable[..., subprocess.Popen]]:
    """As `spawn`, for processes that serve all tests of a file."""
    yield from _spawner()


def _spawner() -> Iterator[Callable[..., subprocess.Popen]]:
    started: list[subprocess.Popen] = []

    def start(*arguments: str, backend: str | None = None, **options) -> subprocess.Popen:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT} | options
        command = [sys.executable, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
        environment |= {"QTX_ROS_BACKEND": backend} if backend else {}
        options = {"env": environment, "start_new_session": True, "preexec_fn": _die_with_parent} | options
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _die_with_parent() -> None:
    """Also when the test session is killed, no process stays behind (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
