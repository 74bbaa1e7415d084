"""The recorder as a process of its own, over the real wire."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import yaml
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Message
from mcap.stream_reader import StreamReader
from own_domain import use_domain
from recorder_process import BEST_EFFORT, SPEC, Process, Robot
from rosbags.highlevel import AnyReader

from qtx_ros import ros
from qtx_ros.bags.reader import open_bag
from qtx_ros.data.convert import Options, convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.spec import Spec

DOMAIN = 60


@pytest.fixture(autouse=True, scope="module")
def domain():
    old = dict(os.environ)
    use_domain(DOMAIN)
    yield
    os.environ.clear()
    os.environ.update(old)


@pytest.fixture(scope="module")
def robot(domain):
    ros.init()
    robot = Robot()
    yield robot
    robot.node.destroy_node()
    ros.try_shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bags")


def hears_the_instruction(robot):
    return any(t.name == "/instruction" and t.messages for status in robot.statuses for t in status.topics)


@pytest.fixture
def recorder(robot, folder):
    """A recorder that hears every topic of the robot."""
    robot.sent.clear()
    robot.data.clear()
    robot.events.clear()
    robot.statuses.clear()
    process = Process(folder)
    robot.wait(lambda: all(p.get_subscription_count() for p in robot.publishers.values()))
    robot.wait(robot.clients["start"].service_is_ready)
    robot.wait(lambda: hears_the_instruction(robot))
    yield process
    if process.child.poll() is None:
        process.end()


def test_an_episode_by_service_is_a_bag_with_every_message(robot, recorder, folder):
    started = robot.call("start")
    assert started.success, started.message
    assert not robot.call("start").success
    robot.play(1.0)
    robot.wait(lambda: robot.statuses and robot.statuses[-1].messages >= sum(robot.sent.values()))
    assert robot.statuses[-1].recording and robot.statuses[-1].lost == 0
    stopped = robot.call("stop", label="success", comment="clean")
    assert stopped.success and Path(stopped.path) == (folder / started.episode).resolve()
    with AnyReader([Path(stopped.path)]) as reader:
        got = {}
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
            got.setdefault(connection.topic, []).append(bytes(data))
    assert {topic: len(data) for topic, data in got.items() if topic in robot.sent} == dict(robot.sent)
    assert got["/arm_controller/joint_trajectory"] == robot.data["/arm_controller/joint_trajectory"]
    assert len(got["/instruction"]) == 1  # latched before the episode began
    with open_bag(stopped.path) as bag:
        (mark,) = bag.marks()
    assert (mark.episode, mark.instruction, mark.label, mark.comment) == (
        started.episode, "push the button", "success", "clean",
    )  # fmt: skip
    assert Spec.from_json(mark.contract).digest() == SPEC.digest()
    robot.wait(lambda: [event.event for event in robot.events] == [1, 2])
    check_metadata(Path(stopped.path), robot)
    check_conversion(Path(stopped.path), folder)


def check_metadata(path, robot):
    """What `ros2 bag info` and `play` need, in the file and beside it."""
    info = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    topics = {t["topic_metadata"]["name"]: t for t in info["topics_with_message_count"]}
    assert info["version"] == 8 and info["storage_identifier"] == "mcap"
    assert topics["/joint_states"]["message_count"] == robot.sent["/joint_states"]
    assert yaml.safe_load(topics["/joint_states"]["topic_metadata"]["offered_qos_profiles"])[0]["reliability"] == 2
    assert yaml.safe_load(topics["/instruction"]["topic_metadata"]["offered_qos_profiles"])[0]["durability"] == 1
    with open(path / info["relative_file_paths"][0], "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        assert reader.get_summary().statistics.message_count == info["message_count"]
        for schema, channel, message in reader.iter_messages(topics=["/camera/image_raw"]):
            assert schema.encoding == "ros2msg" and b"MSG: std_msgs/Header" in schema.data
            assert channel.metadata["topic_type_hash"].startswith("RIHS01_")
            assert 0 <= message.log_time - message.publish_time < 1_000_000_000


def check_conversion(path, folder):
    (row,) = convert([path], Options(folder / "set", SPEC))
    assert (row.status, row.label) == ("converted", "success") and row.steps > 10
    manifest = Dataset.open(folder / "set").episodes[0].manifest
    assert manifest["instruction"] == "push the button" and manifest["terminated"]


def test_an_episode_by_topic_and_a_label_afterwards(robot, recorder, folder):
    before = set(folder.iterdir())
    robot.wait(lambda: robot.command.get_subscription_count())
    command = ros.message("qtx_ros/msg/EpisodeCommand")
    robot.command.publish(command(command=1, instruction="open the drawer"))
    robot.wait(lambda: len(robot.events) == 1)
    robot.play(0.3)
    robot.command.publish(command(command=2))
    robot.wait(lambda: len(robot.events) == 2 and len(set(folder.glob("2*")) - before) == 1)
    (bag,) = set(folder.glob("2*")) - before
    assert robot.events[0].episode == bag.name
    assert robot.call("label", label="failure", comment="slipped").success
    assert not robot.call("label", label="splendid").success
    labels = json.loads((bag / "labels.json").read_text())["labels"]
    assert [(entry["label"], entry["comment"]) for entry in labels] == [("failure", "slipped")]
    with open_bag(bag) as opened:
        (mark,) = opened.marks()
    assert (mark.instruction, mark.label) == ("open the drawer", "failure")


def test_topics_that_appear_later_are_recorded_too(robot, tmp_path):
    process = Process(tmp_path, "--all")
    try:
        robot.wait(lambda: all(p.get_subscription_count() for p in robot.publishers.values()))
        episode = robot.call("start").episode
        late = robot.publisher("std_msgs/msg/Float64MultiArray", "nobody/knew", BEST_EFFORT)
        robot.wait(late.get_subscription_count)
        for value in range(5):
            late.publish(ros.message("std_msgs/msg/Float64MultiArray")(data=[float(value)]))
        robot.wait(lambda: robot.statuses and "/nobody/knew" in [t.name for t in robot.statuses[-1].topics])
        path = robot.call("stop", label="success").path
        with AnyReader([Path(path)]) as reader:
            values = [
                reader.deserialize(data, c.msgtype).data[0]
                for c, _, data in reader.messages([c for c in reader.connections if c.topic == "/nobody/knew"])
            ]
            assert values == [0, 1, 2, 3, 4] and Path(path).name == episode
            assert "/rosout" not in reader.topics
        robot.node.destroy_publisher(late)
    finally:
        process.end()


def test_discard_leaves_nothing(robot, recorder, folder):
    before = sorted(folder.iterdir())
    assert robot.call("start").success
    robot.play(0.2)
    stopped = robot.call("stop", label="discard")
    assert stopped.success and stopped.path == ""
    assert sorted(folder.iterdir()) == before
    assert "no episode" in robot.call("stop").message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_episode(robot, recorder, folder, number):
    episode = robot.call("start").episode
    robot.play(0.3)
    assert recorder.end(number) == 0
    with AnyReader([folder / episode]) as reader:
        assert reader.message_count > 10
    with open_bag(folder / episode) as bag:
        assert bag.marks()[0].stop_ns is not None


def test_an_unwritable_folder_is_said_and_survived(robot, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    process = Process(blocked / "bags")
    try:
        robot.wait(robot.clients["start"].service_is_ready)
        answer = robot.call("start")
        assert not answer.success and "cannot write to" in answer.message
        assert process.child.poll() is None
    finally:
        process.end()


def test_after_a_kill_the_next_start_completes_what_was_written(robot, recorder, folder):
    """Last in the file: a killed participant still answers discovery for ten seconds."""
    episode = robot.call("start").episode
    robot.play(0.5)
    time.sleep(1.5)  # the timed flush
    robot.play(0.2)
    recorder.child.kill()
    recorder.child.wait()
    hidden = folder / f".{episode}" / f"{episode}_0.mcap"
    count = 0
    with open(hidden, "rb") as file, pytest.raises(EndOfFile):
        for record in StreamReader(file, validate_crcs=True).records:
            count += isinstance(record, Message)
    assert count >= 50
    process = Process(folder)
    try:
        robot.wait(lambda: (folder / episode / "metadata.yaml").exists())
        with open_bag(folder / episode) as bag:
            (mark,) = bag.marks()
        assert mark.instruction == "push the button" and not hidden.exists()
    finally:
        process.end()
