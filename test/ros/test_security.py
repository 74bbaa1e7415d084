"""The embedded backend has no DDS security, and says so to whoever asks for it."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("cyclonedds") is None, reason="needs the cyclonedds wheel")
JOIN = "from qtx_ros import ros; ros.init(args=[]); print('joined'); ros.shutdown()"


@pytest.fixture
def join(spawn, monkeypatch):
    """`join(enable, strategy) -> (status, output, errors)` of a process on the embedded backend."""

    def start(enable: str, strategy: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ROS_SECURITY_ENABLE", enable)
        monkeypatch.setenv("ROS_SECURITY_STRATEGY", strategy)
        process = spawn("-c", JOIN, backend="dds")
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors

    return start


def test_enforced_security_keeps_the_embedded_backend_off_the_network(join) -> None:
    status, output, errors = join("true", "Enforce")
    assert status == 1 and "joined" not in output
    assert "'Enforce', but the embedded backend has no DDS security" in errors.splitlines()[-1]


def test_security_that_may_be_done_without_is_warned_of(join) -> None:
    status, output, errors = join("true", "Permissive")
    assert status == 0 and "joined" in output and "this process is not protected" in errors


def test_without_security_nothing_is_said(join) -> None:
    assert join("false", "Enforce") == (0, "joined\n", "")


def test_a_node_ends_with_one_sentence(spawn, monkeypatch) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    process = spawn("-m", "qtx_ros", "watchdog", "--robot", "sawyer_sim", backend="dds")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and errors.startswith("qtx watchdog: ROS_SECURITY_ENABLE is 'true'")
    assert len(errors.splitlines()) == 1
