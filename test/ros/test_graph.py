"""The graph as seen from another process."""

from __future__ import annotations

import signal
from pathlib import Path

from qtx_ros import ros

PEER = Path(__file__).with_name("peer.py")


def test_the_peer_is_in_the_graph(peer, near, spin_until) -> None:
    spin_until(lambda: ("peer", "/far") in near.get_node_names_and_namespaces(), near)
    assert ("near", "/far") in near.get_node_names_and_namespaces()
    spin_until(lambda: "/far/chat" in dict(near.get_topic_names_and_types()), near)
    topics = dict(near.get_topic_names_and_types())
    assert topics["/far/chat"] == ["std_msgs/msg/String"]
    assert topics["/far/peer/transition_event"] == ["lifecycle_msgs/msg/TransitionEvent"]
    services = dict(near.get_service_names_and_types())
    assert services["/far/peer/switch"] == ["std_srvs/srv/SetBool"]
    assert services["/far/peer/set_parameters"] == ["rcl_interfaces/srv/SetParameters"]


def test_endpoints_name_node_type_and_qos(peer, near, spin_until) -> None:
    spin_until(lambda: ("peer", "/far") in near.get_node_names_and_namespaces(), near)
    spin_until(lambda: near.count_publishers("image") == 1, near)
    (info,) = near.get_publishers_info_by_topic("image")
    assert (info.node_name, info.node_namespace, info.topic_type) == ("peer", "/far", "sensor_msgs/msg/Image")
    assert info.qos_profile.reliability == ros.ReliabilityPolicy.BEST_EFFORT
    assert near.count_subscribers("ask") == 1


def test_a_peer_that_ends_leaves_the_graph_at_once(near, spin_until, spawn) -> None:
    process = spawn(PEER, "--ros-args", "-r", "__node:=mortal")
    assert process.stdout.readline() == "up\n"
    spin_until(lambda: ("mortal", "/far") in near.get_node_names_and_namespaces(), near)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    spin_until(lambda: ("mortal", "/far") not in near.get_node_names_and_namespaces(), near, timeout=8.0)
