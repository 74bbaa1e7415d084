"""`qtx collect --policy`: a policy makes the data of the next training, over ROS topics and in process."""

import dataclasses
import json

import numpy as np
import pytest
from own_domain import use_domain
from sim_world import start, stop
from test_collect import converted

from qtx_ros.agent.agent import Agent
from qtx_ros.agent.sim import SimEnvironment
from qtx_ros.bags.reader import open_bag
from qtx_ros.cli import main
from qtx_ros.deploy.bundle import bundle_folder, for_robot, load_bundle
from qtx_ros.deploy.exploration import Exploration
from qtx_ros.deploy.policy import Policy
from qtx_ros.inspect.live import TOPIC, TYPE
from qtx_ros.spec import EventStream, Spec

SPEC, TASK = Spec.load("sawyer_sim"), "button-press-topdown"


def test_an_offline_bag_holds_what_the_agent_does(tmp_path):
    asked = ["--tasks", TASK, "--episodes", "1", "--seed", "50003", "--epsilon", "0.2", "--horizon", "25"]
    assert main(["collect", "--policy", "sawyer_sim", "--offline", str(tmp_path), *asked]) == 0
    (episode,) = converted(tmp_path)
    policy = Policy(for_robot(load_bundle(bundle_folder("sawyer_sim")), SPEC), "cpu")
    environment = SimEnvironment(SPEC, TASK, horizon=25)
    replay = Agent(environment, policy, Exploration(0.2, seed=50_003)).episode(50_003)
    environment.close()
    assert replay.explored > 0
    assert json.loads((episode / "manifest.json").read_text())["label"] == replay.label
    np.testing.assert_allclose(np.load(episode / "state.npy"), [s.state for s in replay.seen], atol=1e-6)
    np.testing.assert_allclose(np.load(episode / "action.npy"), replay.actions, atol=1e-6)
    np.testing.assert_array_equal(np.load(episode / "reward.npy"), replay.rewards)


def test_a_failure_is_collected_over_the_wire_with_what_was_explored(tmp_path):
    use_domain(60)
    sim, recorder = start("sim"), start("record", "--out", str(tmp_path))
    try:
        asked = ["--tasks", TASK, "--episodes", "1", "--epsilon", "1", "--horizon", "15"]
        collect = start("collect", "--policy", "sawyer_sim", *asked)
        output, _ = collect.communicate(timeout=100)
    finally:
        logs = stop(sim) + stop(recorder)
    assert collect.returncode == 0, output.decode() + logs
    assert "0/1 succeeded, 1 kept" in output.decode()
    (folder,) = (path.parent for path in tmp_path.glob("*/metadata.yaml"))
    ears = dataclasses.replace(SPEC, events=EventStream(TOPIC, TYPE))
    with open_bag(folder) as bag:
        (mark,) = bag.marks("marks", SPEC)
        said = [msg for topic, _, msg in bag.messages(ears, mark) if topic == TOPIC and not msg.hold]
    assert mark.label == "failure" and mark.instruction == "press the button"
    assert said and sum(msg.explored for msg in said) > len(said) / 2


@pytest.mark.parametrize(
    "asked, named",
    [
        (["--epsilon", "0.1"], "--policy"),
        (["--policy", "sawyer_sim", "--mix", "demo"], "--mix"),
        (["--policy", "sawyer_sim", "--epsilon", "2"], "epsilon is 2"),
    ],
)
def test_senseless_wishes_are_refused(tmp_path, capsys, asked, named):
    assert main(["collect", "--offline", str(tmp_path), *asked]) == 1
    assert named in capsys.readouterr().err
