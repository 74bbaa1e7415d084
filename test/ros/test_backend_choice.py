"""Which backend a process gets."""

from __future__ import annotations

import importlib.util

import pytest

SAY = "from qtx_ros import ros; print(ros.BACKEND)"
HIDE = """
import sys
from importlib.machinery import PathFinder
class Hide(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {names} else super().find_spec(name, path, target)
sys.meta_path = [Hide if finder is PathFinder else finder for finder in sys.meta_path]
"""
have_wheel = importlib.util.find_spec("cyclonedds") is not None
have_rclpy = importlib.util.find_spec("rclpy") is not None


@pytest.fixture
def run(spawn, monkeypatch):
    """`run(code, backend) -> (output, errors)` in a process of its own; backend None: free choice."""

    def start(code: str, backend: str | None) -> tuple[str, str]:
        monkeypatch.delenv("QTX_ROS_BACKEND", raising=False)
        return spawn("-c", code, backend=backend).communicate(timeout=120)

    return start


@pytest.mark.skipif(not have_wheel, reason="needs the cyclonedds wheel")
def test_without_rclpy_the_embedded_backend_serves(run) -> None:
    assert run(HIDE.format(names=["rclpy"]) + SAY, None)[0] == "dds\n"


@pytest.mark.skipif(not have_rclpy, reason="needs ROS 2")
def test_rclpy_comes_first_where_it_is(run) -> None:
    assert run(SAY, None)[0] == "rclpy\n"


@pytest.mark.skipif(not have_wheel, reason="needs the cyclonedds wheel")
def test_a_backend_can_be_forced(run) -> None:
    assert run(SAY, "dds")[0] == "dds\n"


@pytest.mark.parametrize(
    ("backend", "hidden", "said"),
    [
        ("zenoh", [], "expected one of rclpy, dds"),
        ("rclpy", ["rclpy"], "rclpy does not import"),
        ("dds", ["cyclonedds"], "wheel 'cyclonedds'"),
        (None, ["rclpy", "cyclonedds"], "wheel 'cyclonedds'"),
    ],
)
def test_a_backend_that_cannot_be_had_is_explained(run, backend, hidden, said) -> None:
    output, errors = run(HIDE.format(names=hidden) + SAY, backend)
    assert output == "" and said in errors.splitlines()[-1]
    assert "QtxError" in errors.splitlines()[-1]
