"""Messages ↔ arrays, with real message objects of rosbags and of the ROS backend."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtx_ros import ros
from qtx_ros.bench.bags import TYPES, build
from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import build as live_message
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

IMAGE = "sensor_msgs/msg/Image"
DIMENSIONS = (ActionDimension("a", -1, 1), ActionDimension("b", -1, 1))
COMMANDS = [
    CommandStream("c", DIMENSIONS, type)
    for type in ("trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray")
]
POSE = ("position.x", "position.y", "position.z", "orientation.x", "orientation.y", "orientation.z", "orientation.w")
FINITE = st.floats(-1e6, 1e6)


def command(type, *names, **keys):
    return CommandStream("c", tuple(ActionDimension(name, -1, 1) for name in names), type, **keys)


def entries(type):
    """Names of three entries of a type, out of order."""
    known = getattr(messages.TYPES[type].entries, "entries", None)
    if known is None:
        return {"sensor_msgs/msg/Joy": ("buttons.2", "axes.1", "axes.0")}.get(type, ("b", "c", "a"))
    if "orientation.w" in known or "rotation.w" in known or "w" in known:
        return known[::-1][:4]
    return (*known[1:3], known[0])


def wanted(type):
    plain = messages.TYPES[type].entries
    return ("value",) if getattr(plain, "single", False) else entries(type)


ALL_STATES = [name for name, t in messages.TYPES.items() if t.state]
ALL_COMMANDS = [name for name, t in messages.TYPES.items() if t.command_fields]


@pytest.mark.parametrize("type", ALL_COMMANDS)
@given(data=st.data())
def test_every_command_and_its_fields_are_inverse(type, data):
    names = wanted(type)
    values = np.array(data.draw(st.lists(FINITE, min_size=len(names), max_size=len(names))))
    kind = getattr(messages.TYPES[type].entries, "kind", "f8")
    if "Joy" in type:
        values = np.array([float(values[0] > 0), *values[1:]]).astype(np.float32).astype(float)
    elif kind == "?":
        values = (values > 0).astype(float)
    elif kind.startswith("f"):
        values = values.astype(kind).astype(float)
    else:
        values = np.clip(np.rint(values), np.iinfo(kind).min, np.iinfo(kind).max)
    if len(names) == 4 and names[0].endswith("w"):
        length = np.linalg.norm(values)
        values = values / length if length > 1e-3 else np.array([1.0, 0, 0, 0])
    stream = command(type, *names)
    said, fields = messages.command_fields(stream, values, 1_700_000_000_000_000_005, 50_000_000)
    assert said == type
    assert messages.command(stream, build(type, fields)) == pytest.approx(values, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("type", ALL_COMMANDS)
def test_messages_of_the_live_node_and_of_a_bag_are_read_alike(type):
    names = wanted(type)
    values = np.arange(1, len(names) + 1) / np.linalg.norm(np.arange(1, len(names) + 1))
    stream = command(type, *names)
    wire = ros.serialize(live_message(*messages.command_fields(stream, values, 5, 50_000_000)))
    live, bag = ros.deserialize(wire, type), TYPES.deserialize_cdr(memoryview(wire), type)
    assert messages.command(stream, live).tolist() == messages.command(stream, bag).tolist()
    if messages.TYPES[type].state:
        state = StateStream("s", names, type)
        assert messages.state(state, live).tolist() == messages.state(state, bag).tolist()


@pytest.mark.parametrize("type", ALL_STATES)
def test_every_state_is_read_from_an_empty_message_or_refused_in_one_sentence(type):
    stream = StateStream("s", wanted(type), type)
    try:
        assert messages.state(stream, build(type, {})).shape == (len(stream.names),)
    except QtxError as error:
        assert str(error).startswith("'s' has ")


def test_a_wrench_is_read_by_name_and_two_of_them_can_be_told_apart():
    fields = {"force": {"x": 1, "y": 2, "z": 3}, "torque": {"x": 4, "y": 5, "z": 6}}
    msg = build("geometry_msgs/msg/WrenchStamped", {"wrench": fields})
    stream = StateStream("s", ("left/torque.z", "left/force.x"), "geometry_msgs/msg/WrenchStamped")
    assert messages.state(stream, msg).tolist() == [6, 1]
    with pytest.raises(QtxError, match=r"no entry 'force.w', it has force.x, force.y, force.z, torque.x"):
        messages.state(StateStream("s", ("force.w",), stream.type), msg)


def test_imu_and_odometry_have_the_names_of_their_fields():
    imu = build("sensor_msgs/msg/Imu", {"angular_velocity": {"z": 3}, "orientation": {"w": 1}})
    names = ("orientation.w", "angular_velocity.z")
    assert messages.state(StateStream("s", names, "sensor_msgs/msg/Imu"), imu).tolist() == [1, 3]
    odometry = build("nav_msgs/msg/Odometry", {"twist": {"twist": {"linear": {"x": 2}}}})
    names = ("twist.twist.linear.x", "pose.pose.position.y")
    assert messages.state(StateStream("s", names, "nav_msgs/msg/Odometry"), odometry).tolist() == [2, 0]


def test_a_joystick_has_numbered_axes_and_buttons():
    msg = build("sensor_msgs/msg/Joy", {"axes": [0.5, -0.25], "buttons": [0, 1, 0]})
    stream = StateStream("s", ("buttons.1", "axes.0"), "sensor_msgs/msg/Joy")
    assert messages.state(stream, msg).tolist() == [1, 0.5]
    with pytest.raises(QtxError, match="no entry 'axes.2', the message holds 2 axes, 3 buttons"):
        messages.state(StateStream("s", ("axes.2",), stream.type), msg)
    with pytest.raises(QtxError, match="no entry 'axes', it has axes.0, axes.1 …, buttons.0"):
        messages.state(StateStream("s", ("axes",), stream.type), msg)


def test_one_value_has_one_name_of_the_robots_choice():
    msg = build("std_msgs/msg/Float64", {"data": 0.04})
    assert messages.state(StateStream("s", ("gripper_width",), "std_msgs/msg/Float64"), msg).tolist() == [0.04]
    with pytest.raises(QtxError, match="one value, expected one name for it and not a, b"):
        check(states=(StateStream("s", ("a", "b"), "std_msgs/msg/Float64"),))


def test_whole_numbers_are_rounded_and_kept_in_range():
    send = lambda type, value: messages.command_fields(command(type, "x"), [value], 0, 1)[1]["data"]  # noqa: E731
    assert [send("std_msgs/msg/Int8", v) for v in (0.6, -300, 300)] == [1, -128, 127]
    assert [send("std_msgs/msg/Bool", v) for v in (0.4, 0.5, 1)] == [False, True, True]


# --- what is sent ------------------------------------------------------------------------------------------------

def test_a_pose_without_a_rotation_is_not_turned_and_a_rotation_has_length_one():
    _, fields = messages.command_fields(command("geometry_msgs/msg/Pose", *POSE[:3]), [1, 2, 3], 0, 1)
    assert fields == {"position": {"x": 1, "y": 2, "z": 3}, "orientation": {"x": 0, "y": 0, "z": 0, "w": 1}}
    _, fields = messages.command_fields(command("geometry_msgs/msg/Pose", *POSE), [1, 2, 3, 0, 0, 3, 4], 0, 1)
    assert fields["orientation"] == {"x": 0, "y": 0, "z": 0.6, "w": 0.8}
    with pytest.raises(QtxError, match="is no quaternion"):
        messages.command_fields(command("geometry_msgs/msg/Pose", *POSE), [1, 2, 3, 0, 0, 0, 0], 0, 1)


def test_a_twist_carries_stamp_and_frame():
    stream = command("geometry_msgs/msg/TwistStamped", "linear.x", "angular.z", frame="tool0")
    _, fields = messages.command_fields(stream, [0.5, -1], 3_000_000_007, 1)
    assert fields["header"] == {"stamp": {"sec": 3, "nanosec": 7}, "frame_id": "tool0"}
    assert fields["twist"] == {"linear": {"x": 0.5}, "angular": {"z": -1}}


@pytest.mark.parametrize("type", [COMMANDS[0].type, COMMANDS[1].type])
@pytest.mark.parametrize("interface", ["position", "velocity", "effort"])
def test_joints_are_commanded_in_the_field_of_their_interface(type, interface):
    stream = command(type, "a", "b", interface=interface)
    _, fields = messages.command_fields(stream, [1, 2], 0, 1)
    point = fields.get("points", [fields])[0]
    assert [key for key, value in point.items() if value == [1, 2]] in ([interface], [messages.POINT_FIELDS[interface]])
    assert messages.command(stream, build(type, fields)).tolist() == [1, 2]


# --- what a robot's file cannot say ------------------------------------------------------------------------------

def check(**parts):
    messages.check(replace(SPEC, **{"commands": (COMMANDS[0],), **parts}))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"states": (StateStream("s", ("x",), "geometry_msgs/msg/Wrench"),)}, "no entry 'x', it has force.x, force.y"),
        ({"commands": (command("geometry_msgs/msg/Pose", *POSE[:5]),)}, "orientation.w, orientation.z are missing"),
        ({"commands": (command("geometry_msgs/msg/Point", "x", frame="tool"),)}, "has no header to carry it"),
        ({"commands": (command("sensor_msgs/msg/Imu", "orientation.x"),)}, "cannot be a command, expected one of"),
        ({"cameras": (Camera("front", "image", 2, 2, encoding="8UC3"),)}, "encoding is '8UC3', expected one of rgb8"),
    ],
)
def test_a_robot_that_asks_for_what_no_message_has_is_refused_at_the_start(parts, sentence):
    with pytest.raises(QtxError, match=sentence):
        check(**parts)


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
