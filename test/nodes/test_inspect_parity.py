"""The decisions of a live policy node, recorded over ROS topics, come out of their bag bin for bin."""

import argparse

import numpy as np
import pytest
import robot_stub
from robot_stub import TEXT, Robot, Spinner, make, patient, wait
from tiny_bundle import write_tiny_bundle

from qtx_ros import ros
from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.inspect import inspect, live
from qtx_ros.inspect.summary import live_sentences
from qtx_ros.nodes.recorder import Recorder
from qtx_ros.paths import share
from qtx_ros.spec import Spec

SHIPPED = share("models/sawyer_sim")


class Moving:
    """A robot whose joints and picture change from message to message."""

    def __init__(self, robot: Robot) -> None:
        self._robot, self._random = robot, np.random.default_rng(0)
        robot.node.create_timer(0.02, self._move)

    def _move(self) -> None:
        self._robot.brightness = int(self._random.integers(30, 220))
        for name in self._robot.positions:
            self._robot.positions[name] += float(self._random.normal(0, 0.02))


def call(robot: Robot, type: str, name: str, **fields):
    service = ros.service(type)
    client = robot.node.create_client(service, name)
    assert client.wait_for_service(timeout_sec=20)
    future = client.call_async(service.Request(**fields))
    assert wait(future.done)
    assert future.result().success, future.result().message
    return future.result()


@pytest.fixture(params=["sawyer_sim", "six_joint"])
def recorded(request, context, tmp_path, monkeypatch):
    """A bag of a policy that drove, held while its camera was silent, and drove again; its bundle; what it decided.

    The sensors are reliable: on a busy machine the recorder might miss a message that the policy had.
    """
    monkeypatch.setattr(robot_stub, "BEST_EFFORT", ros.QoSProfile(depth=50))
    spec = patient(Spec.load(request.param), 0.4)
    robot_file = tmp_path / "robot.json"
    robot_file.write_text(spec.to_json())
    bundle = SHIPPED if request.param == "sawyer_sim" else tmp_path / "tiny"
    node, robot, spinner = make(context, tmp_path / "tiny", spec, bundle=str(bundle), robot=str(robot_file))
    Moving(robot)
    parameters = {"robot": str(robot_file), "directory": str(tmp_path / "bags")}
    recorder = Recorder([ros.Parameter(name, value=value) for name, value in parameters.items()], context=context)
    recording = Spinner(context, recorder)
    robot.say(TEXT)
    node.trigger_configure()
    node.trigger_activate()
    assert wait(lambda: robot.choices() and len(recorder._topics.known()) > len(spec.cameras) + 3)
    call(robot, "qtx_ros/srv/StartEpisode", "/recorder/start", instruction=TEXT)
    for blind in (False, True, False):
        robot.blind = blind
        seen = len(robot.holds() if blind else robot.choices())
        assert wait(lambda blind=blind, seen=seen: len(robot.holds() if blind else robot.choices()) > seen + 15)
    path = call(robot, "qtx_ros/srv/StopEpisode", "/recorder/stop", label="failure").path
    spinner.close()
    recording.close()
    return path, load_bundle(bundle), robot.decisions


def inspected(path, bundle):
    args = argparse.Namespace(robot=None, instruction="", split="", decisions=live.TOPIC, device="cpu")
    (episode,) = inspect(path, bundle, args)
    return episode


def test_every_recorded_decision_comes_out_of_its_bag_bin_for_bin(recorded):
    path, bundle, decisions = recorded
    found = inspected(path, bundle).live
    assert not found.differing, found.differing
    assert found.choices > 30 and found.equal >= found.choices - 5  # the first may remember frames before the episode
    assert found.equal + found.unknown == found.choices and found.holds > 10 and found.held
    assert len({tuple(decision.bins) for decision in decisions if not decision.hold}) > 3


@pytest.mark.parametrize("recorded", ["sawyer_sim"], indirect=True)
def test_decisions_of_another_bundle_are_told_of(recorded, tmp_path):
    path, bundle, _ = recorded
    episode = inspected(path, load_bundle(write_tiny_bundle(tmp_path / "other", bundle.manifest.spec)))
    assert episode.live.share < 0.5 and any("another bundle was driving" in text for text in live_sentences(episode))
