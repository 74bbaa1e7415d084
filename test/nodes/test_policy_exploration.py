import numpy as np
import pytest
from robot_stub import TEXT, Robot, begin, make

from qtx_ros import ros
from qtx_ros.inspect import live
from qtx_ros.nodes.policy import start
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import Spec


def drive(context, folder, spec: Spec, **parameters) -> Robot:
    """A robot that was driven for some decisions."""
    node, robot, spinner = make(context, folder, spec, **parameters)
    try:
        start(node)
        robot.say(TEXT)
        begin(robot)
    finally:
        spinner.close()
    return robot


def test_an_exploring_policy_commands_and_tells_what_it_explored(context, tmp_path, spec):
    robot = drive(context, tmp_path, spec, epsilon=1.0)
    explored = [decision for decision in robot.choices() if decision.explored]
    assert explored
    for decision in explored:
        np.testing.assert_array_equal(decision.values, from_bins(spec, np.array(decision.bins)))
    sent = np.array(robot.commands["arm_controller/joint_trajectory"])[:, 7]
    assert all(np.abs(sent - decision.values[7]).min() < 1e-9 for decision in explored[:-1])
    assert len({tuple(decision.bins) for decision in explored}) > 1


def test_an_explored_decision_is_compared_by_what_the_network_wanted(context, tmp_path, spec):
    greedy = live._decision(drive(context, tmp_path / "greedy", spec).choices()[-1])
    robot = drive(context, tmp_path / "explored", spec, epsilon=1.0)
    explored = live._decision(next(d for d in robot.choices() if d.explored))
    assert explored.bins == greedy.bins


def test_nothing_is_explored_unless_asked(context, tmp_path, spec):
    assert not any(decision.explored for decision in drive(context, tmp_path, spec).choices())


@pytest.mark.parametrize("wrong", [{"epsilon": 1.5}, {"temperature": -0.1}, {"anneal": -1}])
def test_a_parameter_out_of_range_is_refused(context, tmp_path, spec, wrong):
    with pytest.raises(ros.InvalidParameterValueException):
        make(context, tmp_path, spec, **wrong)
