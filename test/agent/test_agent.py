import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from qtx_ros.agent.agent import Agent
from qtx_ros.agent.environment import Observed
from qtx_ros.data.dataset import Dataset
from qtx_ros.data.tools.verify import verify
from qtx_ros.deploy.exploration import Exploration
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

SPEC = Spec(
    name="point",
    rate=10.0,
    history=2,
    cameras=(Camera("top", "top/image", 16, 16),),
    states=(StateStream("joints", ("x", "y")),),
    commands=(
        CommandStream("command", tuple(ActionDimension(n, -1, 1, 5, "delta", limits=(-2.0, 2.0)) for n in "xy")),
    ),
)


class Point:
    """A point that moves by what it is told. It falls off a table at x = 3, and is home at x >= `home`."""

    spec, instruction = SPEC, "home"

    def __init__(self, home: float = 9.0, horizon: int = 6) -> None:
        self.home, self.horizon, self.told = home, horizon, []

    def reset(self, seed: int) -> Observed:
        self.place, self.ticks = np.array([0.25 * seed, 0.0]), 0
        return self._see()

    def step(self, action: np.ndarray) -> tuple[Observed, float, bool, bool]:
        self.told.append(np.array(action))
        self.place, self.ticks = self.place + action, self.ticks + 1
        home, fallen = self.place[0] >= self.home, self.place[0] >= 3
        return self._see(), float(home), bool(home or fallen), self.ticks >= self.horizon

    def _see(self) -> Observed:
        return Observed({"top": np.full((16, 16, 3), 200, np.uint8)}, self.place.copy())


@pytest.fixture
def policy(tmp_path):
    """Told "home", it takes 0.5 in both dimensions for ever."""
    return Policy.load(write_tiny_bundle(tmp_path / "bundle", SPEC), "cpu")


@pytest.mark.parametrize(
    "point, label, truncated",
    [(Point(home=1.5), "success", False), (Point(horizon=20), "failure", False), (Point(horizon=2), "failure", True)],
    ids=["home", "fallen", "out of time"],
)
def test_an_episode_is_labelled_by_how_it_ended(policy, tmp_path, point, label, truncated):
    (replay,) = Agent(point, policy).collect(tmp_path / "set", 1)
    (episode,) = Dataset.open(tmp_path / "set", verify=True).episodes
    facts = episode.manifest
    assert (facts["label"], facts["terminated"], facts["truncated"]) == (label, True, truncated)
    assert facts["instruction"] == "home" and facts["source"]["seed"] == 0
    np.testing.assert_array_equal(episode.columns.reward, [*[0] * (len(replay.rewards) - 1), label == "success"])


def test_the_action_kept_is_what_the_limits_left_of_it(policy, tmp_path):
    point = Point(horizon=8)
    Agent(point, policy, Exploration(epsilon=1.0, seed=1)).collect(tmp_path / "set", 1, seed=7)
    columns = Dataset.open(tmp_path / "set").episodes[0].columns
    commanded = np.clip(columns.state + point.told, -2.0, 2.0)
    np.testing.assert_allclose(columns.state + columns.action, commanded, atol=1e-6)
    assert (np.abs(columns.action - point.told) > 0.1).any(), "a limit was reached"


def test_an_agent_explores_in_the_cells_of_its_policy(policy):
    policy.cells = (4, 4)  # of five bins: the last one has a cell of its own
    agent = Agent(point := Point(), policy, Exploration(temperature=1e6))
    for seed in range(60):
        agent.episode(seed % 4)
    assert len(point.told) > 100 and np.mean(np.array(point.told) == 1) == pytest.approx(0.5, abs=0.12)


def test_equal_seeds_collect_alike_and_exploration_is_counted(policy):
    def actions(exploration):
        replays = [Agent(Point(), policy, exploration).episode(seed) for seed in (0, 1)]
        return np.concatenate([replay.actions for replay in replays]), sum(replay.explored for replay in replays)

    greedy, none = actions(Exploration())
    explored, some = actions(Exploration(0.5, 0.3, seed=4))
    np.testing.assert_array_equal(actions(Exploration(0.5, 0.3, seed=4))[0], explored)
    assert none == 0 < some
    assert explored.shape != greedy.shape or (explored != greedy).any()


def test_a_second_collection_joins_the_first(policy, tmp_path):
    folder = tmp_path / "set"
    Agent(Point(), policy).collect(folder, 2)
    Agent(Point(), policy).collect(folder, 1, seed=2)
    assert sorted(e.manifest["source"]["seed"] for e in Dataset.open(folder).episodes) == [0, 1, 2]
    assert verify(folder) == []


def test_another_robot_is_refused(tmp_path):
    other = Policy.load(write_tiny_bundle(tmp_path / "bundle", Spec.load("sawyer_sim")), "cpu")
    with pytest.raises(QtxError, match="'point', the policy was trained for 'sawyer_sim'"):
        Agent(Point(), other)
