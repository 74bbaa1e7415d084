"""What the policy thinks, as standard messages."""

import math

import numpy as np
import pytest
from robot_stub import TEXT, make, wait

from qtx_ros import ros
from qtx_ros.nodes.policy_plots import TOPICS


@pytest.fixture
def heard(context, tmp_path, spec):
    """A policy node that plots, its robot, and the messages of each topic."""
    node, robot, spinner = make(context, tmp_path, spec, plots=True, instruction=TEXT)
    messages = {name: [] for name in TOPICS}
    for name, type in TOPICS.items():
        robot.node.create_subscription(ros.message(type), f"/policy/{name}", messages[name].append, 50)
    node.trigger_configure()
    node.trigger_activate()
    assert wait(lambda: robot.choices() and all(messages.values()))
    yield robot, messages
    spinner.close()


def test_the_standard_messages_say_what_the_decision_says(heard):
    robot, messages = heard
    assert wait(lambda: len(messages["holding"]) > len(robot.holds()) and robot.choices())
    ticks = {_time(decision): decision for decision in robot.choices()}
    assert wait(lambda: any(_time(chosen) in ticks for chosen in messages["chosen"]))
    chosen = next(message for message in messages["chosen"] if _time(message) in ticks)
    decision = ticks[_time(chosen)]
    assert list(chosen.name) == list(decision.names) and list(chosen.position) == list(decision.values)
    q = messages["q"][-1]
    count, bins = (part.size for part in q.layout.dim)
    assert (count, bins) == (8, 256) and [part.stride for part in q.layout.dim] == [8 * 256, 256]
    assert q.layout.dim[0].label.endswith(", ".join(decision.names))
    rows = np.reshape(q.data, (count, bins))
    np.testing.assert_array_equal(rows.argmax(1), decision.bins)  # the stub's picture does not change
    assert messages["value"][-1].data == pytest.approx(rows[0].max())
    assert list(messages["margin"][-1].data) == pytest.approx(list(decision.margin))
    assert list(messages["entropy"][-1].data) == pytest.approx(list(decision.entropy))


def test_a_hold_is_a_target_without_a_choice(heard):
    robot, messages = heard
    robot.blind = True
    assert wait(lambda: messages["holding"][-1].data)
    count = len(messages["chosen"])
    targets = len(messages["target"])
    assert wait(lambda: len(messages["target"]) > targets + 3)
    assert len(messages["chosen"]) == count
    assert np.allclose(messages["target"][-1].position[:7], robot.state[:7])
    assert not math.isnan(messages["target"][-1].position[7])


def test_nothing_is_advertised_by_default(driving):
    node, robot = driving
    topics = dict(robot.node.get_topic_names_and_types())
    assert "/policy/decision" in topics and not {f"/policy/{name}" for name in TOPICS} & topics.keys()


def _time(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
