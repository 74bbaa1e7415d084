import json

import numpy as np
from own_domain import use_domain
from sim_world import start, stop

from qtx_ros.cli import main as run
from qtx_ros.data import messages
from qtx_ros.sim.expert import Expert
from qtx_ros.sim.rollout import rollout
from qtx_ros.sim.world import World
from qtx_ros.spec import Spec


def record(folder, *arguments):
    assert run(["collect", "--offline", str(folder), "--episodes", "1", *arguments]) == 0


def converted(folder):
    """Episode folders of the training set made from the bags in `folder`, oldest first."""
    assert run(["convert", str(folder), "--out", str(folder / "set"), "--jobs", "1"]) == 0
    return sorted(path.parent for path in (folder / "set").glob("**/manifest.json"))


def test_labelled_episodes_are_collected_over_the_wire(tmp_path):
    use_domain(58)
    sim, recorder = start("sim"), start("record", "--out", str(tmp_path))
    try:
        collect = start("collect", "--mix", "stitch-demo", "--episodes", "1", "--tasks", "press the button")
        output, _ = collect.communicate(timeout=100)
    finally:
        logs = stop(sim) + stop(recorder)
    assert collect.returncode == 0, output.decode() + logs
    assert "button-press-topdown" in output.decode() and "1 kept" in output.decode()
    (episode,) = converted(tmp_path)
    manifest = json.loads((episode / "manifest.json").read_text())
    assert (manifest["label"], manifest["instruction"], manifest["terminated"]) == ("success", "press the button", True)
    assert np.load(episode / "reward.npy").sum() == 1.0


def test_offline_bags_convert_without_an_invalid_step(tmp_path):
    record(tmp_path, "--mix", "failure", "--tasks", "drawer-open", "--horizon", "20")
    record(tmp_path, "--mix", "expert", "--tasks", "drawer-open")
    failure, success = converted(tmp_path)
    for episode, reward in ((failure, 0.0), (success, 1.0)):
        assert np.load(episode / "valid.npy").all()
        assert np.load(episode / "reward.npy").sum() == reward
        assert np.abs(np.load(episode / "action.npy")[:, :7]).max() <= 0.15 + 1e-6
    assert len(np.load(failure / "action.npy")) == 20


def test_an_offline_bag_holds_what_a_rollout_does(tmp_path):
    spec, seen = Spec.load("sawyer_sim"), {}
    record(tmp_path, "--mix", "expert", "--tasks", "reach", "--seed", "4")
    (episode,) = converted(tmp_path)
    world = World("reach", 4)
    expert = Expert(world.task, world.scene)
    world.reset("reach", 4)

    def act(image, state):
        return messages.action(spec, expert(world.privileged, world.positions), state)

    for step in rollout(world, spec, act, binned=False, render=False):
        seen.setdefault("state", []).append(step.state)
        seen.setdefault("action", []).append(step.action)
    np.testing.assert_allclose(np.load(episode / "state.npy"), seen["state"], atol=1e-6)
    np.testing.assert_allclose(np.load(episode / "action.npy"), seen["action"], atol=1e-6)


def test_without_a_robot_collecting_ends_with_a_sentence():
    use_domain(59)
    collect = start("collect", "--no-record", "--timeout", "2")
    output, _ = collect.communicate(timeout=60)
    assert collect.returncode == 1 and b"sim/reset" in output and b"Traceback" not in output
