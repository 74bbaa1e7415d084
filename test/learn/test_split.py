"""Pictures encoded when they arrive: the tick decides as it would have without, and never on another picture."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from small_run import small_config, small_spec
from test_variants import trained_run

from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.learn import export

CAMERAS = ("camera0", "camera1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    spec = replace(small_spec(cameras=2, history=3), tick="timer")
    return trained_run(tmp_path_factory.mktemp("split"), spec, small_config(steps=30, learning_rate=3e-3))


@pytest.fixture(scope="module")
def bundle(run):
    export.export(run, run.parent / "bundle")
    return run.parent / "bundle"


@pytest.fixture
def policy(bundle):
    policy = Policy.load(bundle, "cpu")
    policy.instruct("do it")
    return policy


def drawn(rng):
    return {name: rng.integers(0, 256, (16, 16, 3), np.uint8) for name in CAMERAS}, rng.normal(size=2)


def test_a_robot_that_ticks_by_timer_gets_the_graphs_and_others_do_not(run, bundle, tmp_path):
    assert {path.name for path in bundle.glob("*.onnx")} == {"act.onnx", "frame.onnx", "instruction.onnx", "tick.onnx"}
    assert load_bundle(bundle).manifest.picture == 1
    whole = export.export(run, tmp_path / "whole", split=False)
    assert whole.picture == 0 and not Policy.load(tmp_path / "whole", "cpu").sees


def test_frames_that_were_seen_and_frames_that_were_not_give_the_same_bins(bundle, policy):
    plain, rng = Policy.load(bundle, "cpu"), np.random.default_rng(0)
    plain.instruct("do it")
    for tick in range(60):
        if tick % 20 == 0:
            policy.reset(), plain.reset()
        frames, state = drawn(rng)
        for name in CAMERAS[: tick % 3]:  # none, one, both: only both spare the one graph
            policy.see(name, frames[name])
        np.testing.assert_array_equal(policy.act(frames, state).bins, plain.act(frames, state).bins)


def ran(policy):
    """Which graph each later tick runs on: True for the one whose pictures were encoded before."""
    graphs, run = [], policy._network.run
    policy._network.run = lambda tokens=None: (graphs.append(tokens is not None), run(tokens))[1]
    return graphs


def test_tokens_serve_the_very_frames_that_were_seen_only(policy):
    graphs, (frames, state) = ran(policy), drawn(np.random.default_rng(1))
    for name in CAMERAS:
        policy.see(name, frames[name])
    policy.act(frames, state)
    policy.act({name: frame.copy() for name, frame in frames.items()}, state)
    assert graphs == [True, False]


def test_the_frame_before_the_last_still_counts_and_older_ones_do_not(policy):
    graphs, rng = ran(policy), np.random.default_rng(2)
    seen = [drawn(rng)[0] for _ in range(3)]
    for frames in seen:
        for name in CAMERAS:
            policy.see(name, frames[name])
    for frames in seen:
        policy.act(frames, np.zeros(2))
    assert graphs == [False, True, True]


def test_a_new_instruction_voids_what_was_seen_under_the_old_one(bundle, policy):
    graphs, (frames, state) = ran(policy), drawn(np.random.default_rng(3))
    for name in CAMERAS:
        policy.see(name, frames[name])
    policy.instruct("something else")
    choice = policy.act(frames, state)
    other = Policy.load(bundle, "cpu")
    other.instruct("something else")
    np.testing.assert_array_equal(choice.q_all, other.act(frames, state).q_all)
    assert graphs == [False]


def test_frames_seen_in_other_threads_while_ticks_run_change_nothing(bundle, policy):
    plain, rng, done = Policy.load(bundle, "cpu"), np.random.default_rng(4), threading.Event()
    plain.instruct("do it")
    shown = [drawn(rng)[0] for _ in range(8)]

    def show(name):
        while not done.is_set():
            for frames in shown:
                policy.see(name, frames[name])

    threads = [threading.Thread(target=show, args=(name,)) for name in CAMERAS]
    for thread in threads:
        thread.start()
    for tick in range(200):
        frames, state = shown[tick % 8], rng.normal(size=2)
        np.testing.assert_array_equal(policy.act(frames, state).bins, plain.act(frames, state).bins)
    done.set()
    for thread in threads:
        thread.join()


def test_a_frame_of_another_size_is_refused_when_it_is_seen(policy):
    with pytest.raises(QtxError, match=r"camera 'camera0': got uint8 \[8, 16, 3\]"):
        policy.see("camera0", np.zeros((8, 16, 3), np.uint8))
