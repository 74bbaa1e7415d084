"""Message classes by name, on whichever backend is there."""

from __future__ import annotations

import numpy as np
import pytest

from qtx_ros import ros
from qtx_ros.errors import QtxError

only_dds = pytest.mark.skipif(ros.BACKEND != "dds", reason="rclpy's own classes decide this")


def test_fields_have_the_default_values_of_ros() -> None:
    image = ros.message("sensor_msgs/msg/Image")()
    assert (image.height, image.encoding, len(image.data), image.header.stamp.sec) == (0, "", 0, 0)
    pose = ros.message("geometry_msgs/msg/PoseStamped") if ros.BACKEND == "dds" else None
    assert pose is None or pose().pose.orientation.w == 1.0
    event = ros.message("qtx_ros/msg/StepEvent")()
    assert event.success is False and event.reward == 0.0


def test_defaults_are_not_shared() -> None:
    first, second = (ros.message("trajectory_msgs/msg/JointTrajectory")() for _ in range(2))
    first.joint_names.append("a")
    first.header.frame_id = "x"
    assert len(second.joint_names) == 0 and second.header.frame_id == ""


@pytest.mark.parametrize("values", [[1.0, 2.0], (1.0, 2.0), np.array([1.0, 2.0]), np.array([1, 2], np.float32)])
def test_numeric_sequences_take_lists_and_arrays(values) -> None:
    cls = ros.message("sensor_msgs/msg/JointState")
    msg = cls(position=values)
    msg.velocity = values
    back = ros.deserialize(ros.serialize(msg), "sensor_msgs/msg/JointState")
    assert list(back.position) == [1.0, 2.0] and list(back.velocity) == [1.0, 2.0] and len(back.effort) == 0


def test_pixels_survive_a_round_trip() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 30_000, np.uint8)
    msg = ros.message("sensor_msgs/msg/Image")(data=pixels)
    assert (np.asarray(ros.deserialize(ros.serialize(msg), "sensor_msgs/msg/Image").data) == pixels).all()


def test_constants_stand_on_the_class() -> None:
    command = ros.message("qtx_ros/msg/EpisodeCommand")
    assert (command.START, command.STOP, command.LABEL) == (1, 2, 3)


def test_an_unknown_type_is_named() -> None:
    wrong = ((ros.message, "std_msgs/msg/Strnig"), (ros.service, "std_srvs/srv/Triger"), (ros.message, "Image"))
    for ask, name in wrong:
        with pytest.raises(QtxError, match=name):
            ask(name)


def test_damaged_bytes_are_refused() -> None:
    data = ros.serialize(ros.message("std_msgs/msg/String")(data="hello"))
    with pytest.raises(QtxError):
        ros.deserialize(data[:7], "std_msgs/msg/String")


def test_definitions_carry_the_parts_too() -> None:
    text = ros.definition("trajectory_msgs/msg/JointTrajectory")
    parts = {line.removeprefix("MSG: ") for line in text.splitlines() if line.startswith("MSG: ")}
    assert {"std_msgs/Header", "trajectory_msgs/JointTrajectoryPoint", "builtin_interfaces/Time"} <= parts
    assert "float64[]" in text and "string[]" in text


@only_dds
@pytest.mark.parametrize("values", [[1.5], [256], [-1], ["a"], [[1, 2]]])
def test_values_the_wire_cannot_hold_are_refused(values) -> None:
    with pytest.raises(TypeError, match="data"):
        ros.serialize(ros.message("sensor_msgs/msg/Image")(data=values))


@only_dds
def test_received_arrays_are_views_of_the_bytes() -> None:
    data = ros.serialize(ros.message("sensor_msgs/msg/Image")(data=[1, 2, 3]))
    pixels = ros.deserialize(data, "sensor_msgs/msg/Image").data
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8)) and not pixels.flags.writeable


@only_dds
def test_every_known_type_survives_a_round_trip() -> None:
    from qtx_ros.ros.definitions import store

    for name in list(store().types):
        msg = ros.message(name)()
        assert ros.deserialize(ros.serialize(msg), name) == msg
