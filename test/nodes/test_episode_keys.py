"""What a teleop says about recordings is what the recorder did."""

import pytest
from robot_stub import Spinner, wait
from teleop_rig import LATCHED

from qtx_ros import ros
from qtx_ros.nodes.episode_keys import EpisodeKeys
from qtx_ros.nodes.recorder import Recorder

EVENT = ros.message("qtx_ros/msg/EpisodeEvent")


class Desk:
    """A node with episode keys, and what it logs."""

    def __init__(self, context) -> None:
        self.node, self.log = ros.Node("teleop", context=context), []
        self.keys = EpisodeKeys(self.node)
        self.node.create_subscription(ros.message("rcl_interfaces/msg/Log"), "/rosout", self._hear, LATCHED)

    def _hear(self, entry) -> None:
        if entry.name == "teleop":
            self.log.append(entry.msg)

    def says(self, text: str, seconds: float = 20.0) -> bool:
        return wait(lambda: any(text in line for line in list(self.log)), seconds)


@pytest.fixture
def desk(context):
    return Desk(context)


@pytest.fixture
def spin(context):
    spinners = []
    yield lambda *nodes: spinners.append(Spinner(context, *nodes))
    for spinner in spinners:
        spinner.close()


def test_without_a_recorder_it_says_that_nothing_is_recorded(desk, spin):
    spin(desk.node)
    desk.keys.send("start")
    assert desk.says("no recorder answered 'start' within 1 s: nobody listens on /episode/command")
    assert desk.says("run `qtx record`") and not desk.says("is recorded:", 0)


def test_what_the_recorder_does_is_said(desk, spin, context, tmp_path):
    parameters = {"robot": "sawyer_sim", "directory": str(tmp_path / "bags"), "min_free_mib": 0}
    recorder = Recorder([ros.Parameter(name, value=value) for name, value in parameters.items()], context=context)
    spin(desk.node, recorder)
    assert wait(lambda: desk.node.count_subscribers("episode/command") and desk.node.count_publishers("episode/event"))
    desk.keys.send("start")
    assert desk.says("is recorded: ''")
    desk.log.clear()
    desk.keys.send("start")
    assert desk.says("no recorder answered 'start' within 1 s: what listens on /episode/command did not do it")
    desk.keys.send("failure")
    assert desk.says("is stopped: failure")


def test_a_recording_that_is_not_accepted_is_said(desk, spin):
    node = ros.Node("robot", context=desk.node.context)
    events = node.create_publisher(EVENT, "episode/event", 10)

    def stopped(msg) -> None:
        events.publish(EVENT(event=EVENT.STOP, episode="e1", label=msg.label, problems=["front: 3 Hz, expected 9 Hz"]))

    node.create_subscription(ros.message("qtx_ros/msg/EpisodeCommand"), "episode/command", stopped, 10)
    spin(desk.node, node)
    assert wait(lambda: node.count_publishers("episode/command") and events.get_subscription_count())
    desk.keys.send("success")
    assert desk.says("episode e1 is stopped: success")
    assert desk.says("episode e1 is not accepted: front: 3 Hz, expected 9 Hz")
    assert not desk.says("no recorder answered", 2.0)
