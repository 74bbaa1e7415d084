"""ROS 2's discovery variables become Cyclone DDS's configuration."""

from __future__ import annotations

import pytest

from qtx_ros.errors import QtxError
from qtx_ros.ros.dds import domain

NAMES = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS", "CYCLONEDDS_URI")


@pytest.fixture
def configure(monkeypatch):
    """`configure(NAME=value, …) -> configuration` with nothing else set."""

    def apply(**values: str) -> str:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return domain.configuration()

    return apply


def test_subnet_is_the_default_and_keeps_multicast(configure) -> None:
    text = configure()
    assert "AllowMulticast" not in text and "Peer " not in text and "NetworkInterface" not in text
    assert configure(ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET") == text


@pytest.mark.parametrize("values", [{"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, {"ROS_LOCALHOST_ONLY": "1"}])
def test_localhost_names_the_loopback_interface(configure, values) -> None:
    text = configure(**values)
    assert '<NetworkInterface name="lo"' in text and "<AllowMulticast>false<" in text
    assert '<Peer address="localhost"/>' in text


def test_off_hides_this_process(configure) -> None:
    assert "<Tag>ros_discovery_off_" in configure(ROS_AUTOMATIC_DISCOVERY_RANGE="OFF")


def test_system_default_leaves_discovery_alone(configure) -> None:
    text = configure(ROS_AUTOMATIC_DISCOVERY_RANGE="SYSTEM_DEFAULT", ROS_STATIC_PEERS="10.0.0.1")
    assert "<Discovery></Discovery>" in text and "10.0.0.1" not in text


def test_static_peers_are_added(configure) -> None:
    text = configure(ROS_STATIC_PEERS="10.0.0.1;robot.local")
    assert '<Peer address="10.0.0.1"/><Peer address="robot.local"/>' in text


def test_the_users_own_configuration_comes_last_and_may_choose_the_interface(configure, tmp_path) -> None:
    interfaces = "<General><Interfaces><NetworkInterface name='lo'/></Interfaces></General>"
    own = f"<CycloneDDS><Domain>{interfaces}</Domain></CycloneDDS>"
    file = tmp_path / "own.xml"
    file.write_text(own)
    for uri in (own, f"file://{file}"):
        text = configure(ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST", CYCLONEDDS_URI=uri)
        assert text.endswith(uri) and '<NetworkInterface name="lo"' not in text


def test_wrong_values_are_named(configure, monkeypatch) -> None:
    with pytest.raises(QtxError, match="NEARBY"):
        configure(ROS_AUTOMATIC_DISCOVERY_RANGE="NEARBY")
    for value in ("x", "-1", "233"):
        monkeypatch.setenv("ROS_DOMAIN_ID", value)
        with pytest.raises(QtxError, match=value):
            domain.domain_id_from_environment()
    configure(ROS_DOMAIN_ID="17")
    assert domain.domain_id_from_environment() == 17
