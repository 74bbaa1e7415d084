"""Messages ↔ arrays, with real message objects of rosbags."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtx_ros.bench.bags import build
from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
ALPHA = np.full((5, 7, 1), 77, np.uint8)
GREY = RGB[:, :, :1]
PIXELS = {
    "rgb8": RGB,
    "bgr8": RGB[:, :, ::-1],
    "rgba8": np.concatenate([RGB, ALPHA], 2),
    "bgra8": np.concatenate([RGB[:, :, ::-1], ALPHA], 2),
    "mono8": GREY,
}
DIMENSIONS = (ActionDimension("a", -1, 1), ActionDimension("b", -1, 1))
COMMANDS = [
    CommandStream("c", DIMENSIONS, type)
    for type in ("trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray")
]


def image_message(encoding, pixels, padding=0):
    rows = pixels.reshape(len(pixels), -1)
    rows = np.concatenate([rows, np.full((len(rows), padding), 255, np.uint8)], 1)
    height, width = pixels.shape[:2]
    fields = {"encoding": encoding, "height": height, "width": width, "step": rows.shape[1], "data": rows.reshape(-1)}
    return build(IMAGE, fields)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", messages.CHANNELS)
def test_every_encoding_gives_rgb(encoding, padding):
    picture = messages.image(image_message(encoding, PIXELS[encoding], padding), IMAGE)
    assert picture.dtype == np.uint8
    assert (picture == (GREY.repeat(3, 2) if encoding == "mono8" else RGB)).all()


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, list])
def test_bytes_may_come_in_any_container(container):
    msg = image_message("rgb8", RGB)
    msg.data = container(msg.data.tobytes())
    assert (messages.image(msg, IMAGE) == RGB).all()


def test_an_unknown_encoding_names_the_known_ones():
    with pytest.raises(QtxError, match="'16UC1', expected one of rgb8, bgr8"):
        messages.image(image_message("16UC1", RGB), IMAGE)


def test_an_image_with_too_few_bytes_is_refused():
    msg = image_message("rgb8", RGB)
    msg.data = msg.data[:-1]
    with pytest.raises(QtxError, match="104 bytes"):
        messages.image(msg, IMAGE)


def test_png_is_exact_and_jpeg_is_close():
    smooth = cv2.resize(RGB, (70, 50))
    png = build(COMPRESSED, {"format": "bgr8; png compressed", "data": cv2.imencode(".png", smooth[:, :, ::-1])[1][:]})
    assert (messages.image(png, COMPRESSED) == smooth).all()
    jpeg = build(COMPRESSED, {"format": "jpeg", "data": cv2.imencode(".jpg", smooth[:, :, ::-1])[1][:]})
    assert np.abs(messages.image(jpeg, COMPRESSED).astype(int) - smooth).mean() < 10


@pytest.mark.parametrize("fields", [{"format": "jpeg", "data": [1, 2, 3]}, {"format": "32FC1; compressedDepth"}])
def test_a_compressed_image_that_is_none_is_refused(fields):
    with pytest.raises(QtxError, match="jpeg"):
        messages.image(build(COMPRESSED, fields), COMPRESSED)


def test_state_is_looked_up_by_name_whatever_the_order():
    msg = build("sensor_msgs/msg/JointState", {"name": ["b", "x", "a"], "position": [2, 9, 1], "velocity": [5, 6, 7]})
    assert messages.state(StateStream("s", ("a", "b")), msg).tolist() == [1, 2]
    assert messages.state(StateStream("s", ("a", "b"), field="velocity"), msg).tolist() == [7, 5]
    with pytest.raises(QtxError, match="no position of 'c', it has b, x, a"):
        messages.state(StateStream("s", ("a", "c")), msg)
    with pytest.raises(QtxError, match="0 values of effort for 3 names"):
        messages.state(StateStream("s", ("a",), field="effort"), msg)


def test_an_array_state_must_have_one_value_for_each_name():
    stream = StateStream("s", ("a", "b"), type="std_msgs/msg/Float64MultiArray")
    assert messages.state(stream, build(stream.type, {"data": [1, 2]})).tolist() == [1, 2]
    with pytest.raises(QtxError, match="3 values, expected 2: a, b"):
        messages.state(stream, build(stream.type, {"data": [1, 2, 3]}))


@pytest.mark.parametrize("stream", COMMANDS, ids=lambda s: s.type)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_command_and_its_fields_are_inverse(stream, values):
    type, fields = messages.command_fields(stream, values, 1_700_000_000_000_000_005, 50_000_000)
    assert messages.command(stream, build(type, fields)).tolist() == values


def test_a_trajectory_counts_by_its_last_point_and_by_name():
    points = [{"positions": [1, 2, 3]}, {"positions": [4, 5, 6]}]
    msg = build(COMMANDS[0].type, {"joint_names": ["b", "z", "a"], "points": points})
    assert messages.command(COMMANDS[0], msg).tolist() == [6, 4]
    with pytest.raises(QtxError, match="without points"):
        messages.command(COMMANDS[0], build(COMMANDS[0].type, {}))


def test_command_fields_carry_stamp_and_period():
    _, fields = messages.command_fields(COMMANDS[0], [1, 2], 3_000_000_007, 50_000_000)
    assert fields["header"]["stamp"] == {"sec": 3, "nanosec": 7}
    assert fields["points"][0]["time_from_start"] == {"sec": 0, "nanosec": 50_000_000}


def test_a_type_that_cannot_serve_is_named():
    with pytest.raises(QtxError, match="'std_msgs/msg/String' cannot be a camera image, expected one of sensor_msgs"):
        messages.image(None, "std_msgs/msg/String")


def test_a_zero_stamp_and_no_header_are_none():
    stamped = build(IMAGE, {"header": {"stamp": {"sec": 2, "nanosec": 3}}})
    assert messages.stamp_ns(stamped) == 2_000_000_003
    assert messages.stamp_ns(build(IMAGE, {})) is None
    assert messages.stamp_ns(build("std_msgs/msg/String", {})) is None


SPEC = Spec(
    name="toy",
    rate=10,
    cameras=(Camera("front", "image", 2, 2),),
    states=(StateStream("joints", ("a", "b")),),
    commands=(
        CommandStream(
            "c",
            (
                ActionDimension("x", -1, 1, mode="delta", reference="b", limits=(-1.0, 1.0)),
                ActionDimension("grip", -1, 1),
            ),
        ),
    ),
)


def test_delta_is_relative_to_its_reference_and_clipped_on_the_way_out():
    state = [9.0, 0.5]
    assert messages.action(SPEC, [0.75, -1.0], state).tolist() == [0.25, -1.0]
    assert messages.targets(SPEC, [0.25, -1.0], state).tolist() == [0.75, -1.0]
    assert messages.targets(SPEC, [0.75, -1.0], state).tolist() == [1.0, -1.0]
