"""What another library is given, and its answers in our loop where its environment is there."""

import numpy as np
import pytest
from small_set import SPEC, add_episode

from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec
from qtx_ros.study.peer import PeerPolicy, train_peer, transitions
from qtx_ros.study.peers import peers_folder
from qtx_ros.study.plan import Study

TEXTS = ["pull", "push"]


def open_small(root) -> Dataset:
    add_episode(root, "a", count=4)
    add_episode(root, "b", count=3, label="failure", instruction="pull", terminated=False, truncated=True)
    return Dataset.open(root)


def test_an_observation_is_the_last_states_and_the_task(tmp_path):
    dataset = open_small(tmp_path)
    arrays = transitions(dataset, TEXTS)
    first, second = (episode.columns for episode in dataset.episodes)
    assert arrays["observations"].shape == (7, 2 * 2 + 2) and SPEC.history == 2
    np.testing.assert_allclose(arrays["observations"][0], [*first.state[0], *first.state[0], 0, 1])
    np.testing.assert_allclose(arrays["observations"][2], [*first.state[1], *first.state[2], 0, 1])
    np.testing.assert_allclose(arrays["observations"][4], [*second.state[0], *second.state[0], 1, 0])
    np.testing.assert_allclose(arrays["actions"], np.concatenate([first.action, second.action]))


def test_ends_are_terminal_or_cut_and_rewards_may_be_scaled(tmp_path):
    arrays = transitions(open_small(tmp_path), TEXTS, largest=100.0)
    assert arrays["rewards"].tolist() == [0, 0, 0, 100, 0, 0, 0]
    assert arrays["terminals"].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert arrays["timeouts"].tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_episodes_with_holes_are_refused(tmp_path):
    add_episode(tmp_path, "a", count=6, lost=[2])
    with pytest.raises(QtxError, match="holds invalid steps"):
        transitions(Dataset.open(tmp_path), ["push"])


@pytest.mark.skipif(not peers_folder().exists(), reason="qtx study peers makes the environment")
@pytest.mark.parametrize("method", ["d3rlpy-bc", "d3rlpy-dt"])
def test_a_peer_trains_and_answers(tmp_path, method):
    settings = {method: {"steps": 2, "batch_size": 4}}
    study = Study("toy", "sawyer_state", {"one": {"demo": 1}}, (method,), settings=settings)
    run, spec = study.run(f"one.{method}.1"), Spec.load("sawyer_state")
    dataset = _walk(tmp_path / "set", spec)
    (tmp_path / "run").mkdir()
    assert train_peer(run, dataset, tmp_path / "run")["steps"] == 2
    policy = PeerPolicy(run, tmp_path / "run")
    policy.instruct("push")
    first = [policy.act({}, state).values for state in dataset.episodes[0].columns.state[:3]]
    policy.reset()
    np.testing.assert_array_equal(first[0], policy.act({}, dataset.episodes[0].columns.state[0]).values)
    low, high = (np.array([getattr(d, bound) for d in spec.dimensions]) for bound in ("low", "high"))
    assert (first >= low - 1e-6).all() and (first <= high + 1e-6).all() and not np.array_equal(first[0], first[2])
    with pytest.raises(QtxError, match="the data have 'push'"):
        policy.instruct("dance")


def _walk(root, spec: Spec) -> Dataset:
    """One episode of a random walk of the simulated robot."""
    from qtx_ros.data.episode import Columns, write_episode
    from qtx_ros.data.index import write_index

    rng = np.random.default_rng(0)
    count = 12
    state = rng.normal(size=(count, len(spec.state_names)))
    action = rng.uniform(-0.1, 0.1, (count, len(spec.dimensions)))
    columns = Columns(state, action, np.eye(count)[-1], np.arange(count), np.ones(count, bool), np.zeros((count, 2)))
    info = {"instruction": "push", "label": "success", "terminated": True, "truncated": False, "source": "test"}
    root.mkdir()
    write_episode(root, "a", spec, {}, columns, info)
    write_index(root, spec)
    return Dataset.open(root)
