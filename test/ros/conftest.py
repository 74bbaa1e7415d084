"""The peer process that the tests of this folder talk to."""

from __future__ import annotations

from pathlib import Path

import pytest

PEER = Path(__file__).with_name("peer.py")


@pytest.fixture(scope="module")
def peer(module_spawn):
    """`/far/peer` in a process of its own, up and running."""
    process = module_spawn(PEER)
    assert process.stdout.readline() == "up\n", process.stderr.read()
    return process


@pytest.fixture
def near(ros_context):
    """A node of this process in the peer's namespace."""
    from qtx_ros import ros

    node = ros.Node("near", namespace="/far")
    yield node
    node.destroy_node()


@pytest.fixture
def ask(near, spin_until):
    """`ask("std_srvs/srv/Trigger", "name", **request) -> response`, through the wire."""
    from qtx_ros import ros

    def call(kind: str, name: str, **fields):
        srv = ros.service(kind)
        client = near.create_client(srv, name)
        assert client.wait_for_service(timeout_sec=10), f"service {name} did not come"
        future = client.call_async(srv.Request(**fields))
        spin_until(future.done, near)
        near.destroy_client(client)
        return future.result()

    return call
