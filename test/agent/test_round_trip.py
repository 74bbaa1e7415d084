"""Train, collect with the policy, train again: in process, in the simulator."""

import json

import numpy as np
import torch
from small_run import SMALL

from qtx_ros import config
from qtx_ros.agent.agent import Agent
from qtx_ros.agent.sim import SimEnvironment
from qtx_ros.cli import main
from qtx_ros.data.dataset import Dataset
from qtx_ros.deploy.bundle import for_robot, load_bundle
from qtx_ros.deploy.exploration import Exploration
from qtx_ros.deploy.policy import Policy
from qtx_ros.learn.acting import NetworkPolicy
from qtx_ros.learn.graphs import TickGraph
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.learn.trainer import build_model
from qtx_ros.paths import share
from qtx_ros.spec import Spec

ROBOT, BUTTON = Spec.load("sawyer_sim"), "button-press-topdown"


def commands_of(environment: SimEnvironment) -> list[dict]:
    """Every command that reaches the robot from now on."""
    world, heard = environment._world, []
    forward = world.command

    def hear(targets, duration=0.0):
        heard.append(dict(targets))
        forward(targets, duration)

    world.command = hear
    return heard


def test_a_policy_collects_and_the_next_one_is_trained_on_it(tmp_path):
    policy = Policy(for_robot(load_bundle(share("models/sawyer_sim")), ROBOT), "cpu")
    environment = SimEnvironment(policy.spec, "press the button", horizon=30)
    try:
        heard = commands_of(environment)
        (success,) = Agent(environment, policy).collect(tmp_path / "replay", 1, seed=50_003)
        told = len(heard)
        (failure,) = Agent(environment, policy, Exploration(epsilon=1.0)).collect(tmp_path / "replay", 1, seed=50_004)
    finally:
        environment.close()
    assert (success.label, failure.label, failure.truncated) == ("success", "failure", True)
    assert not success.explored and failure.explored > 20

    first, second = Dataset.open(tmp_path / "replay", verify=True).episodes
    assert (first.manifest["label"], second.manifest["label"]) == ("success", "failure")
    assert first.columns.reward.sum() == 1 and second.columns.reward.sum() == 0
    for episode, sent in ((first, heard[:told]), (second, heard[told:])):
        told_to = np.array([[command[d.name] for d in ROBOT.dimensions] for command in sent])
        measured = episode.columns.state * np.array([1] * 7 + [0])  # the gripper is commanded as it is
        np.testing.assert_allclose(episode.columns.action + measured, told_to, atol=1e-5)

    bags, demos, run = tmp_path / "bags", tmp_path / "demos", tmp_path / "run"
    assert main(["collect", "--offline", str(bags), "--episodes", "1", "--tasks", BUTTON]) == 0
    assert main(["convert", str(bags), "--out", str(demos), "--jobs", "1"]) == 0
    settings = tmp_path / "small.json"
    settings.write_text(json.dumps(config.dump(TrainConfig(steps=3, batch_size=4, model=SMALL))))
    assert main(["train", str(demos), str(tmp_path / "replay"), "-o", str(run), "--config", str(settings)]) == 0
    assert (run / "checkpoint.safetensors").exists()


def test_a_network_drives_as_it_will_when_it_is_exported(tmp_path):
    model = build_model(ROBOT, TrainConfig(model=SMALL), seed=0).eval()
    tick, policy = TickGraph(model, ROBOT), NetworkPolicy(model, ROBOT)
    policy.instruct("open the drawer")
    random, ring = np.random.default_rng(0), torch.zeros(model.ring_shape)
    features = model.instruct(policy._tokens)
    for i in range(4):
        frame, state = random.integers(0, 256, (64, 64, 3), np.uint8), random.normal(size=8)
        choice = policy.act({"front": frame}, state)
        given = torch.tensor(frame)[None], torch.tensor(state).float(), ring, torch.tensor([i == 0]), features
        bins, _, q, _, ring = tick(*given)
        assert choice.bins.tolist() == bins.tolist()
        np.testing.assert_allclose(choice.q, q.detach().numpy(), atol=1e-6)
