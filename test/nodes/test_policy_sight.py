"""A robot that ticks by timer: its pictures are encoded when they arrive, and the tick needs the rest only."""

import dataclasses

import pytest
from robot_stub import TEXT, begin, make, patient, wait
from tiny_bundle import expected_bins, write_tiny_bundle

from qtx_ros.deploy.policy import Policy
from qtx_ros.deploy.sight import last_before
from qtx_ros.spec import Spec


@pytest.fixture
def pair(context, tmp_path):
    spec = dataclasses.replace(patient(Spec.load("sawyer_sim")), tick="timer")
    bundle = str(write_tiny_bundle(tmp_path / "split", spec, split=True))
    node, robot, spinner = make(context, tmp_path / "unused", spec, bundle=bundle)
    yield node, robot
    spinner.close()


def test_ticks_find_their_picture_encoded_and_decide_as_always(pair, monkeypatch):
    node, robot = pair
    seen, act = [], Policy._take_frames
    monkeypatch.setattr(Policy, "_take_frames", lambda *a: (seen.append(act(*a)), seen[-1])[1])
    robot.node.create_timer(0.031, robot.send_frames)  # another rate: no phase of camera and tick lasts
    robot.say(TEXT)
    node.trigger_configure(), node.trigger_activate()
    begin(robot)
    assert wait(lambda: sum(tokens is not None for tokens in seen) > 5)
    bins = expected_bins(robot.spec, [100], TEXT).tolist()
    assert all(list(decision.bins) == bins for decision in robot.choices())


@pytest.mark.parametrize(("arrived", "worth"), [(10, False), (43, False), (77, True), (110, True)])
def test_a_frame_is_not_worth_encoding_when_another_comes_before_the_tick(arrived, worth):
    assert last_before(100, arrived, arrived - 33) is worth
