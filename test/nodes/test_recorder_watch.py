"""What the recorder notices: limits that break, losses, a full disk. And what it keeps beside messages."""

import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from recorder_process import Process, robot_file, robot_on
from rosbags.highlevel import AnyReader
from small_disk import fill, quiet_folder

from qtx_ros import ros
from qtx_ros.bags.labels import Label, add_label
from qtx_ros.bags.reader import open_bag
from qtx_ros.data.convert import Options, convert
from qtx_ros.spec import Spec

CAMERA = "/camera/image_raw"


@pytest.fixture(scope="module")
def robot():
    with robot_on(61) as robot:
        robot.diagnostics = []
        robot.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics", robot.diagnostics.append)
        yield robot


@contextmanager
def recorder(robot, folder, *parameters, limits=None, **options):
    """A recorder in `folder` that hears every topic of the robot; it is ended afterwards."""
    robot.sent.clear()
    robot.statuses.clear()
    robot.diagnostics.clear()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--ros-args", *(word for parameter in parameters for word in ("-p", parameter))] if parameters else []
    file = robot_file(folder.parent, **(limits or {}))
    process = Process(folder, *arguments, robot=file, **options)
    try:
        try:
            robot.wait(robot.everybody_listens)
            robot.wait(robot.clients["start"].service_is_ready)
            robot.wait(lambda: robot.statuses)
        except AssertionError:
            process.child.kill()
            pytest.fail(f"the recorder does not hear the robot; it said: {process.child.communicate()[0]}")
        yield process
    finally:
        if process.child.poll() is None:
            process.end()


def status_of(robot, topic=CAMERA):
    none = ros.message("qtx_ros/msg/TopicStatus")()
    return next((t for t in robot.statuses[-1].topics if t.name == topic), none)


def level(status):
    return status.level[0] if isinstance(status.level, bytes) else status.level


def test_a_silent_camera_is_warned_of_marked_and_not_converted(robot, tmp_path):
    with recorder(robot, tmp_path / "bags", limits={"max_gap": 0.4}) as process:
        assert robot.call("start").success
        robot.play(1.2, without=[CAMERA])
        robot.wait(lambda: robot.statuses[-1].problems)
        (problem,) = robot.statuses[-1].problems
        assert problem.startswith(f"{CAMERA} was silent for ") and problem.endswith("max_gap is 0.4 s")
        robot.wait(lambda: any(level(s) == 2 and CAMERA in s.name for s in robot.diagnostics[-1].status))
        robot.play(0.5)
        assert not robot.call("stop", label="splendid").success  # the episode goes on with its problems
        stopped = robot.call("stop", label="success")
        assert stopped.success and "max_gap is 0.4 s" in stopped.problems[0]
        process.child.send_signal(signal.SIGTERM)
        log = process.child.communicate(timeout=20)[0]
    assert "[WARN]" in log and f"{CAMERA} was silent for" in log and "is not accepted" in log
    with open_bag(stopped.path) as bag:
        (mark,) = bag.marks()
    assert mark.problems == tuple(stopped.problems) and not mark.accepted
    options = Options(tmp_path / "set", Spec.load(tmp_path / "robot.yaml"))
    (row,) = convert([stopped.path], options)
    assert row.status != "converted" and "max_gap is 0.4 s" in row.reason
    add_label(stopped.path, Label(accept=True))
    (row,) = convert([stopped.path], options)
    assert row.status == "converted", row.reason


def test_a_camera_that_two_nodes_publish_is_warned_of_and_marked(robot, tmp_path):
    with recorder(robot, tmp_path / "bags") as process:
        assert robot.call("start").success
        forgotten = ros.Node("forgotten_driver")
        try:
            forgotten.create_publisher(ros.message("sensor_msgs/msg/Image"), CAMERA, 5)
            said = f"{CAMERA} has 2 publishers (forgotten_driver, "  # its name may come later than its publisher
            robot.wait(lambda: any(said in problem for problem in robot.statuses[-1].problems))
        finally:
            forgotten.destroy_node()
        robot.play(0.3)
        stopped = robot.call("stop", label="success")
        assert stopped.success and "has 2 publishers" in stopped.problems[0]  # it was so in this episode
        robot.wait(lambda: not robot.statuses[-1].problems)
        process.child.send_signal(signal.SIGTERM)
        assert "pictures of several sources are mixed" in process.child.communicate(timeout=20)[0]


def test_a_topic_of_the_robot_that_is_of_another_type_is_warned_of_and_marked(robot, tmp_path):
    stranger = robot.publisher("std_msgs/msg/String", "intervention", 5)
    with recorder(robot, tmp_path / "bags"):
        robot.wait(lambda: robot.statuses[-1].problems)
        assert robot.call("start").success
        robot.node.destroy_publisher(stranger)
        robot.play(0.3)
        stopped = robot.call("stop", label="success")
    (problem,) = stopped.problems
    assert problem == "topic /intervention is not recorded: it is std_msgs/msg/String, expected std_msgs/msg/Bool"


def test_the_bag_keeps_status_parameters_and_parameter_events(robot, tmp_path):
    latched = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
    static = [robot.publisher("std_msgs/msg/String", "static", latched) for _ in range(2)]
    for publisher, text in zip(static, ("left", "right"), strict=True):
        publisher.publish(ros.message("std_msgs/msg/String")(data=text))
    with recorder(robot, tmp_path / "bags", "split_seconds:=0.5", "extra_topics:=[static]"):
        robot.wait(lambda: all(publisher.get_subscription_count() for publisher in static))
        robot.wait(lambda: status_of(robot, "/static").messages == 2)
        robot.call("start", instruction="open the drawer")
        robot.play(1.5)
        robot.node.declare_parameter("gain", 2.5)
        robot.wait(lambda: robot.statuses[-1].messages > sum(robot.sent.values()))
        stopped = robot.call("stop")
    path = Path(stopped.path)
    assert stopped.problems == [] and len(list(path.glob("*.mcap"))) >= 3
    parameters = yaml.safe_load((path / "parameters.yaml").read_text())
    assert parameters["/recorder"]["ros__parameters"]["split_seconds"] == 0.5
    if ros.BACKEND == "dds":
        assert parameters["/robot"]["ros__parameters"]["use_sim_time"] is False
    with AnyReader([path]) as reader:
        messages = [(c.topic, c.msgtype, data) for c, _, data in reader.messages()]
    before = {"/instruction": 1, "/static": 2}  # latched messages of before the episode
    counts = {topic: sum(name == topic for name, _, _ in messages) for topic in (*robot.sent, *before)}
    assert counts == {**robot.sent, **before}
    for publisher in static:
        robot.node.destroy_publisher(publisher)
    statuses = [ros.deserialize(data, type) for topic, type, data in messages if topic == "/recorder/status"]
    camera = next(topic for topic in statuses[-1].topics if topic.name == CAMERA)
    assert (camera.messages, camera.lost_wire, camera.lost_queue) == (robot.sent[CAMERA], 0, 0)
    assert camera.bytes > 0 and 0 < camera.max_age < 5 and 0 < camera.max_gap < 5
    events = [ros.deserialize(data, type) for topic, type, data in messages if topic == "/parameter_events"]
    assert any(p.name == "gain" and p.value.double_value == 2.5 for e in events for p in e.new_parameters)


@pytest.mark.skipif(ros.BACKEND != "dds", reason="rmw_cyclonedds does not tell what the wire lost")
def test_messages_lost_on_the_wire_are_counted_and_judged(robot, tmp_path):
    with recorder(robot, tmp_path / "bags", limits={"max_lost": 0.001}) as process:
        robot.call("start")
        robot.play(0.5)
        robot.wait(lambda: status_of(robot).messages >= 10)
        process.child.send_signal(signal.SIGSTOP)
        image = ros.message("sensor_msgs/msg/Image")(height=1000, width=1000, step=1000, encoding="mono8")
        image.data = bytes(1_000_000)
        for _ in range(60):
            robot.publishers[CAMERA].publish(image)
        process.child.send_signal(signal.SIGCONT)
        robot.play(0.5)
        robot.wait(lambda: status_of(robot).lost_wire > 0)
        robot.play(1.2)
        robot.wait(lambda: status_of(robot).messages + status_of(robot).lost_wire == 60 + robot.sent[CAMERA])
        assert any("on the wire" in problem for problem in robot.statuses[-1].problems)
        problems = robot.call("stop").problems
    assert any(problem.startswith(f"{CAMERA} lost ") and "max_lost is 0.1 %" in problem for problem in problems)


def test_more_than_the_queue_holds_is_lost_counted_and_said(robot, tmp_path):
    with recorder(robot, tmp_path / "bags", "queue_mib:=0"):
        robot.call("start")
        robot.play(0.3)
        robot.wait(lambda: status_of(robot).lost_queue == robot.sent[CAMERA])
        assert robot.statuses[-1].lost >= robot.sent[CAMERA]
        assert any("before the disk" in problem for problem in robot.statuses[-1].problems)


@pytest.fixture
def quiet_disk():
    """A folder on a disk whose free space nobody else changes, if there is one."""
    with quiet_folder() as folder:
        yield folder


def test_a_disk_nearly_full_stops_the_episode_in_order(robot, quiet_disk):
    free = shutil.disk_usage(quiet_disk).free >> 20
    with recorder(robot, quiet_disk / "bags", f"min_free_mib:={free - 20}"):
        episode = robot.call("start").episode
        robot.play(0.5)
        fill(quiet_disk / "ballast", 40 << 20)
        bag = quiet_disk / "bags" / episode
        robot.wait(lambda: (bag / "metadata.yaml").exists())
        robot.wait(lambda: not robot.statuses[-1].recording and robot.statuses[-1].problems)
        assert "min_free_mib asks for" in robot.statuses[-1].problems[0]
        refused = robot.call("start")
        assert not refused.success and "min_free_mib" in refused.message
        with open_bag(bag) as opened:
            (mark,) = opened.marks()
        assert "min_free_mib" in mark.comment and "min_free_mib" in mark.problems[0] and mark.stop_ns is not None
        os.unlink(quiet_disk / "ballast")
        assert robot.call("start").success


def files_of_at_most_3_mib():
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))


def test_a_disk_that_refuses_costs_only_the_rest_of_this_episode(robot, tmp_path):
    image = ros.message("sensor_msgs/msg/Image")(height=500, width=1000, step=1000, encoding="mono8")
    image.data = bytes(500_000)
    folder = tmp_path / "bags"
    with recorder(robot, folder, preexec_fn=files_of_at_most_3_mib) as process:
        robot.call("start")
        robot.play(0.3)
        finished = Path(robot.call("stop", label="success").path)
        episode = robot.call("start").episode
        robot.play(0.3)
        for _ in range(12):
            robot.publishers[CAMERA].publish(image)
            time.sleep(0.05)
        robot.wait(lambda: robot.statuses[-1].recording is False)
        assert process.child.poll() is None and robot.call("start").success
        robot.call("stop", label="discard")
        process.child.send_signal(signal.SIGTERM)
        log = process.child.communicate(timeout=20)[0]
    assert "File too large" in log and "Traceback" not in log
    with open_bag(finished) as bag:
        assert bag.marks()[0].label == "success"
    assert not (folder / episode).exists()
    with recorder(robot, folder):  # the next start repairs it, in a thread of its own
        robot.wait(lambda: (folder / episode / "metadata.yaml").exists())
    with open_bag(folder / episode) as bag:
        assert bag.marks()[0].instruction == "push the button"
    with AnyReader([folder / episode]) as reader:
        assert reader.message_count > 20
