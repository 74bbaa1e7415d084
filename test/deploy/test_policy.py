import tracemalloc

import numpy as np
import onnxruntime
import pytest
from tiny_bundle import expected_bins, write_tiny_bundle

from qtx_ros.deploy.policy import Policy
from qtx_ros.deploy.session import NAMES
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import Spec

TEXT = "open the drawer"
STATE = np.zeros(8)


def frame(brightness):
    return {"front": np.full((64, 64, 3), brightness, np.uint8)}


@pytest.fixture
def policy(tmp_path):
    policy = Policy.load(write_tiny_bundle(tmp_path, Spec.load("sawyer_sim")), device="cpu")
    policy.instruct(TEXT)
    return policy


def test_the_ring_remembers_as_many_frames_as_the_spec_says(policy):
    seen = []
    for brightness in (0, 255, 40, 200, 0):
        seen.append(brightness)
        np.testing.assert_array_equal(policy.act(frame(brightness), STATE).bins, expected_bins(policy.spec, seen, TEXT))


def test_reset_forgets_all_frames(policy):
    policy.act(frame(0), STATE)
    policy.reset()
    np.testing.assert_array_equal(policy.act(frame(255), STATE).bins, expected_bins(policy.spec, [255], TEXT))


def test_a_new_instruction_changes_the_choice_and_keeps_the_ring(policy):
    policy.act(frame(0), STATE)
    policy.instruct("press the button")
    expected = expected_bins(policy.spec, [0, 100], "press the button")
    assert (expected != expected_bins(policy.spec, [0, 100], TEXT)).all()
    np.testing.assert_array_equal(policy.act(frame(100), STATE).bins, expected)


def test_values_and_q_belong_to_the_chosen_bins(policy):
    choice = policy.act(frame(90), STATE)
    np.testing.assert_array_equal(choice.values, from_bins(policy.spec, choice.bins))
    np.testing.assert_array_equal(choice.q, np.take_along_axis(choice.q_all, choice.bins[:, None], 1)[:, 0])
    assert choice.q_all.shape == (8, 256)


def test_a_choice_does_not_change_when_the_next_one_is_made(policy):
    choice = policy.act(frame(0), STATE)
    before = choice.bins.copy()
    policy.act(frame(255), STATE)
    np.testing.assert_array_equal(choice.bins, before)


def test_without_instruction_it_says_so(tmp_path):
    policy = Policy.load(write_tiny_bundle(tmp_path, Spec.load("sawyer_sim")))
    with pytest.raises(QtxError, match="no instruction yet"):
        policy.act(frame(0), STATE)


@pytest.mark.parametrize(
    ("frames", "state", "message"),
    [
        ({}, STATE, "camera 'front': got no frame"),
        ({"front": np.zeros((64, 63, 3), np.uint8)}, STATE, r"got uint8 \[64, 63, 3\]"),
        ({"front": np.zeros((64, 64, 3), np.float32)}, STATE, "got float32"),
        (frame(0), np.zeros(7), "one finite number for each of right_j0"),
        (frame(0), np.full(8, np.nan), "one finite number"),
    ],
)
def test_wrong_observations_are_refused(policy, frames, state, message):
    with pytest.raises(QtxError, match=message):
        policy.act(frames, state)


def test_the_device_is_said_in_one_line(policy):
    assert "'tiny' runs on cpu (CPUExecutionProvider" in policy.device_line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu', expected one of auto, cpu, cuda, tensorrt, torch-cuda, torch-cpu"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(QtxError, match=message):
        Policy.load(write_tiny_bundle(tmp_path, Spec.load("sawyer_sim")), **arguments)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_there_leaves_the_cpu_and_one_line(tmp_path, device):
    provider = NAMES[device]
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this machine has {provider}")
    policy = Policy.load(write_tiny_bundle(tmp_path, Spec.load("sawyer_sim")), device)
    policy.instruct(TEXT)
    np.testing.assert_array_equal(policy.act(frame(255), STATE).bins, expected_bins(policy.spec, [255], TEXT))
    assert policy.device_line.count("\n") == 0
    assert "runs on cpu (CPUExecutionProvider" in policy.device_line
    assert f", because device {device} needs ONNX Runtime's {provider}, this one has" in policy.device_line


def test_a_thousand_ticks_leave_no_memory_behind(policy):
    frames = frame(90)
    for _ in range(100):
        policy.act(frames, STATE)
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(1000):
        choice = policy.act(frames, STATE)
    grown = tracemalloc.take_snapshot().compare_to(before, "lineno")
    tracemalloc.stop()
    assert choice.bins.shape == (8,)
    assert sum(line.size_diff for line in grown if "tracemalloc" not in line.traceback[0].filename) < 10_000
