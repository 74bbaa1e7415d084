"""The peer process that the tests of this folder talk to."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from qtx_ros import ros

PEER = Path(__file__).with_name("peer.py")


def peer_backends() -> list[str]:
    """Ours; where ROS 2 runs on Cyclone DDS and the wheel is installed, the other backend too: real interoperation."""
    if ros.BACKEND == "dds" and os.environ.get("QTX_ROS_BACKEND") != "dds":
        return ["dds"]
    try:
        from rclpy.utilities import get_rmw_implementation_identifier as middleware
    except ImportError:
        return [ros.BACKEND]
    both = importlib.util.find_spec("cyclonedds") and middleware() == "rmw_cyclonedds_cpp"
    return ["dds", "rclpy"] if both else [ros.BACKEND]


@pytest.fixture(scope="module", params=peer_backends())
def peer(request, module_spawn):
    """`/far/peer` in a process of its own, up and running."""
    process = module_spawn(PEER, backend=request.param)
    assert process.stdout.readline() == "up\n", process.stderr.read()
    yield process
    process.terminate()
    process.wait(60)


@pytest.fixture
def near(ros_context):
    """A node of this process in the peer's namespace."""
    node = ros.Node("near", namespace="/far")
    yield node
    node.destroy_node()


@pytest.fixture
def ask(near, spin_until):
    """`ask("std_srvs/srv/Trigger", "name", **request) -> response`, through the wire."""
    def call(kind: str, name: str, **fields):
        srv = ros.service(kind)
        client = near.create_client(srv, name)
        assert client.wait_for_service(timeout_sec=30), f"service {name} did not come"
        future = client.call_async(srv.Request(**fields))
        spin_until(future.done, near)
        near.destroy_client(client)
        return future.result()

    return call
