"""Bytes and type hashes on the wire, against vectors written by hand and hashes of the released ROS 2 definitions."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from qtx_ros import ros

HASHES = {  # from the type descriptions that rosidl (Jazzy) generates: released interfaces, and ours
    "std_msgs/msg/String": "df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18",
    "std_msgs/msg/Float64MultiArray": "1025ddc6b9552d191f89ef1a8d2f60f3d373e28b283d8891ddcc974e8c55397f",
    "sensor_msgs/msg/Image": "d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
    "sensor_msgs/msg/CompressedImage": "15640771531571185e2efc8a100baf923961a4d15d5569652e6cb6691e8e371a",
    "sensor_msgs/msg/JointState": "a13ee3a330e346c9d87b5aa18d24e11690752bd33a0350f11c5882bc9179260e",
    "trajectory_msgs/msg/JointTrajectory": "179b33eba59d676f6d967ac71fe35e7ca2f64b2f3928f4a018cec115e213796e",
    "control_msgs/msg/GripperCommand": "57eb8f326c9889ca8bb34ead82cc94cc09bf6bc5c3b6c09546dca3a00b589890",
    "rcl_interfaces/msg/Log": "e28ce254ca8abc06abf92773b74602cdbf116ed34fbaf294fb9f81da9f318eac",
    "std_srvs/srv/Trigger": "eeff2cd6fa5ad9d27cdf4dec64818317839b62f212a91e6b5304b634b2062c5f",
    "rcl_interfaces/srv/GetParameters": "bf9803d5c74cf989a5de3e0c2e99444599a627c7ff75f97b8c05b01003675cbc",
    "lifecycle_msgs/srv/ChangeState": "356fe34f0475a43acf54542013af4167b0e729f77ea22ffb045c6ad8e20668e5",
    "qtx_ros/msg/Decision": "8d6310bcfc9f7694634c0093fd047652783d3f09bbcdb92e380fda9f6daab1ff",
    "qtx_ros/msg/EpisodeCommand": "b390acd1491fa2cd0baf562e4b879d15f6c7cce32c8927669a60dbecd489bcac",
    "qtx_ros/msg/EpisodeEvent": "c96452d4afa73d8b8ec761a1944a3823a9502d0ccf83bcfcb1b4c5f95a844b63",
    "qtx_ros/msg/RecorderStatus": "044396fd2867e94a799353a8b621bafc394e0f1c030e793f8addc0b0e7d0634a",
    "qtx_ros/msg/TopicStatus": "1b484076adc92cbcb1968c48e8db19fb7e9be2f8aaee49fc24577fcae7049071",
    "qtx_ros/msg/StepEvent": "fabb64d766886a96022100220e89183b0f15069107c0c640faa2f2a1c704f56c",
    "qtx_ros/srv/LabelEpisode": "740e20e094fcd2efa66e9298ce5dfd7ebbd21d264281815603734a096ee37485",
    "qtx_ros/srv/Reload": "7a5381f87f743b12235a6de8ae525ecb3c9a2fadd44ebf140ffa389a2f791333",
    "qtx_ros/srv/Reset": "d659082f2a94815ea0565c629a0d820eb22ccbd7606bbeea5ab98a5ce6172570",
    "qtx_ros/srv/StartEpisode": "7dfe10048a81fb8b9edf1e697d2d25965ab95b1f568983efa4b7767feecad007",
    "qtx_ros/srv/StopEpisode": "5f4158d5078915737668ae0d9002f43fbd07535ff52c789ef38eacb95e84f7dc",
}


class Cdr:
    """Little-endian XCDR1, one value after the other, each aligned to its own size."""

    def __init__(self) -> None:
        self.body = b""

    def add(self, code: str, *values) -> Cdr:
        for value in values:
            self.body += b"\0" * (-len(self.body) % struct.calcsize(code)) + struct.pack(f"<{code}", value)
        return self

    def text(self, value: str) -> Cdr:
        data = value.encode() + b"\0"
        self.add("I", len(data)).body += data
        return self

    def sequence(self, code: str, values) -> Cdr:
        return self.add("I", len(values)).add(code, *values)

    def texts(self, values) -> Cdr:
        self.add("I", len(values))
        for value in values:
            self.text(value)
        return self

    def header(self, sec: int, nanosec: int, frame: str) -> Cdr:
        return self.add("i", sec).add("I", nanosec).text(frame)

    @property
    def data(self) -> bytes:
        return b"\0\1\0\0" + self.body


def header(sec: int, nanosec: int, frame: str):
    stamp = ros.message("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    return ros.message("std_msgs/msg/Header")(stamp=stamp, frame_id=frame)


def string():
    return ros.message("std_msgs/msg/String")(data="öffne"), Cdr().text("öffne")


def image():
    pixels = np.arange(12, dtype=np.uint8)
    fields = dict(height=2, width=2, encoding="rgb8", is_bigendian=0, step=6, data=pixels)
    cdr = Cdr().header(7, 8, "cam").add("I", 2, 2).text("rgb8").add("B", 0).add("I", 6).sequence("B", pixels)
    return ros.message("sensor_msgs/msg/Image")(header=header(7, 8, "cam"), **fields), cdr


def joint_state():
    names, positions, velocities = ["a", "bc"], [0.5, -1.5], [2.0]
    msg = ros.message("sensor_msgs/msg/JointState")(
        header=header(-1, 2, "base"), name=names, position=np.array(positions), velocity=velocities
    )
    cdr = Cdr().header(-1, 2, "base").texts(names).sequence("d", positions).sequence("d", velocities).add("I", 0)
    return msg, cdr


def joint_trajectory():
    point = ros.message("trajectory_msgs/msg/JointTrajectoryPoint")(positions=[1.0, 2.0], effort=[3.0])
    point.time_from_start = ros.message("builtin_interfaces/msg/Duration")(sec=0, nanosec=50_000_000)
    msg = ros.message("trajectory_msgs/msg/JointTrajectory")(
        header=header(1, 2, ""), joint_names=["j0", "j1"], points=[point, point]
    )
    cdr = Cdr().header(1, 2, "").texts(["j0", "j1"]).add("I", 2)
    for _ in range(2):
        cdr.sequence("d", [1.0, 2.0]).add("I", 0, 0).sequence("d", [3.0]).add("i", 0).add("I", 50_000_000)
    return msg, cdr


def step_event():
    msg = ros.message("qtx_ros/msg/StepEvent")(header=header(3, 4, "sim"), reward=0.25, success=True, episode="e1")
    return msg, Cdr().header(3, 4, "sim").add("f", 0.25).add("?", True, False, False).text("e1")


def decision():
    time = ros.message("builtin_interfaces/msg/Time")
    msg = ros.message("qtx_ros/msg/Decision")(
        header=header(1, 2, ""), camera_stamp=time(sec=3), published=time(nanosec=5), instruction="push", hold=True,
        reason="late", names=["x"], bins=np.array([7]), values=[0.5], lower=[0.25], upper=[0.75], q=[0.125],
        bin_counts=[3], q_all=[1.0, 2.0, 3.0],
        runner_up=[6], margin=[0.5], entropy=[0.25], stages=["wait"], stage_ms=[2.0], explored=True,
    )  # fmt: skip
    cdr = Cdr().header(1, 2, "").add("i", 3).add("I", 0).add("i", 0).add("I", 0).add("i", 0).add("I", 5)
    cdr.text("push").add("?", True).text("late").texts(["x"]).sequence("i", [7]).sequence("d", [0.5])
    cdr.sequence("d", [0.25]).sequence("d", [0.75]).sequence("f", [0.125]).sequence("I", [3])
    cdr.sequence("f", [1.0, 2.0, 3.0]).sequence("i", [6]).sequence("f", [0.5]).sequence("f", [0.25])
    return msg, cdr.texts(["wait"]).sequence("f", [2.0]).add("?", True)


def episode_event():
    fields = dict(event=2, episode="e", instruction="open", label="success", comment="c", contract="{}")
    msg = ros.message("qtx_ros/msg/EpisodeEvent")(header=header(0, 0, "x"), **fields)
    cdr = Cdr().header(0, 0, "x").add("B", 2)
    for value in ("e", "open", "success", "c", "{}"):
        cdr.text(value)
    return msg, cdr.add("I", 0)


def recorder_status():
    topics = [ros.message("qtx_ros/msg/TopicStatus")(name="t", messages=10, rate=20.0)]
    msg = ros.message("qtx_ros/msg/RecorderStatus")(
        header=header(9, 0, ""), recording=True, episode="e", path="/b", duration=1.5, messages=10, bytes=2**40, lost=1,
        waiting=3, free_disk=5, problems=["p"], topics=topics,
    )  # fmt: skip
    cdr = Cdr().header(9, 0, "").add("?", True).text("e").text("/b").add("d", 1.5).add("Q", 10, 2**40, 1, 3, 5)
    cdr = cdr.texts(["p"]).add("I", 1).text("t").text("").add("Q", 10, 0).add("f", 20.0, 0, 0, 0, 0).add("I", 0)
    return msg, cdr.add("Q", 0, 0)


def reset():
    request = ros.service("qtx_ros/srv/Reset").Request(task="drawer", seed=-1)
    return request, Cdr().text("drawer").add("q", -1)


VECTORS = [string, image, joint_state, joint_trajectory, step_event, decision, episode_event, recorder_status, reset]


def fast_dds() -> bool:
    if ros.BACKEND == "dds":
        return False
    from rclpy.utilities import get_rmw_implementation_identifier as middleware

    return middleware().startswith("rmw_fastrtps")


zero_padding = pytest.mark.skipif(fast_dds(), reason="Fast CDR leaves whatever was in memory between aligned values")


@zero_padding
@pytest.mark.parametrize("vector", VECTORS)
def test_bytes_equal_the_vector(vector) -> None:
    msg, cdr = vector()
    assert ros.serialize(msg) == cdr.data


@zero_padding
@pytest.mark.parametrize("vector", VECTORS[:-1])
def test_the_vector_reads_back(vector) -> None:
    msg, cdr = vector()
    name = f"{type(msg).__module__.split('.')[0]}/msg/{type(msg).__name__}"
    name = getattr(msg, "__msgtype__", name)
    assert ros.serialize(ros.deserialize(cdr.data, name)) == cdr.data


@pytest.mark.parametrize("name", HASHES)
def test_type_hash_equals_the_released_one(name) -> None:
    assert ros.type_hash(name) == f"RIHS01_{HASHES[name]}"
