import numpy as np
import pytest

from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.sim.expert import MAX_DELTA, Expert
from qtx_ros.sim.operators import MIXES, Operator
from qtx_ros.sim.rollout import rollout, sub_steps
from qtx_ros.sim.tasks import CORE, TASKS
from qtx_ros.sim.world import World
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")


@pytest.fixture(scope="module")
def world():
    return World()


def drive(world, task, seed, mix="expert", horizon=70, delay=1, binned=True):
    world.reset(task, seed)
    operator = Operator(Expert(world.task, world.scene), mix, np.random.default_rng(seed))

    def act(image, state):
        return messages.action(SPEC, operator.act(world.privileged, world.positions), state)

    if operator.guided:
        list(rollout(world, SPEC, act, operator.guided, delay, binned, render=False))
    return list(rollout(world, SPEC, act, horizon, delay, binned, render=False))


def test_forward_and_inverse_kinematics_agree(world):
    world.reset("drawer-open", 0)
    kinematics, joints = world.scene.kinematics, world.positions[:7]
    np.testing.assert_allclose(kinematics.forward(joints), world.privileged[:3], atol=1e-3)
    for offset in ([0.1, 0.1, 0.1], [-0.15, 0.05, -0.1], [0.0, 0.2, 0.05]):
        goal = kinematics.forward(joints) + offset
        solved = kinematics.inverse(joints, goal, iterations=50)
        np.testing.assert_allclose(kinematics.forward(solved), goal, atol=1e-3)


def test_the_expert_asks_for_no_more_than_the_contract_allows(world):
    world.reset("window-open", 0)
    expert = Expert(world.task, world.scene)
    for hand in np.eye(4) * 5:
        assert np.abs(expert.targets(hand, world.positions)[:7] - world.positions[:7]).max() <= MAX_DELTA + 1e-9


@pytest.mark.parametrize("task", CORE)
def test_the_expert_succeeds_through_the_bins_of_the_contract(world, task):
    for seed in (0, 1):
        steps = drive(world, task, seed)
        assert steps[-1].done and steps[-1].reward == 1.0
        assert sum(step.reward for step in steps) == 1.0


@pytest.mark.parametrize("task", sorted(set(TASKS) - set(CORE)))
def test_the_expert_succeeds_on_the_other_tasks(world, task):
    assert drive(world, task, 0, binned=False)[-1].done


def test_failing_operators_fail_and_demonstrators_succeed(world):
    successes = {mix: sum(drive(world, "drawer-open", seed, mix)[-1].done for seed in range(4)) for mix in MIXES}
    assert successes["expert"] == 4
    assert successes["demo"] >= 3 and successes["stitch-demo"] >= 3
    assert successes["failure"] <= 1


def test_helped_demonstrations_start_near_the_object(world):
    helped, full = (drive(world, "drawer-open", 2, mix) for mix in ("stitch-demo", "demo"))
    assert len(helped) < len(full)
    assert np.abs(helped[0].state - full[0].state).max() > 0.1


def test_a_rollout_speaks_the_contracts_terms(world):
    world.reset("drawer-open", 0)
    camera = SPEC.cameras[0]
    step = next(rollout(world, SPEC, lambda image, state: np.full(8, 0.0004), horizon=1))
    assert step.image.shape == (camera.height, camera.width, 3) and step.image.dtype == np.uint8
    assert step.state.shape == (len(SPEC.state_names),)
    np.testing.assert_allclose(step.action, 0.0)  # rounded to the nearest bin
    assert world.time == pytest.approx(0.05)


def test_the_delay_postpones_a_command(world):
    moved = {}
    for delay in (0, 1, 3):
        world.reset("drawer-open", 0)
        before = world.positions
        list(rollout(world, SPEC, lambda image, state: np.r_[0.15, np.zeros(7)], 1, delay, render=False))
        moved[delay] = (world.positions - before)[0]
    assert moved[0] > moved[1] > moved[3] > 0


def test_a_contract_that_does_not_fit_is_refused():
    data = SPEC.to_dict()
    with pytest.raises(QtxError, match="rate is 30"):
        sub_steps(Spec.from_dict({**data, "rate": 30.0}))
    data["states"][0]["names"] = [*data["states"][0]["names"], "elbow"]
    with pytest.raises(QtxError, match="no elbow"):
        sub_steps(Spec.from_dict(data))


def test_an_unknown_mix_names_the_known_ones(world):
    with pytest.raises(QtxError, match="stitch-demo"):
        Operator(Expert(world.task, world.scene), "perfect", np.random.default_rng(0))
