"""An emergency stop and a takeover are heard whatever their publishers offer; one that cannot be heard is named."""

import pytest
from robot_stub import LATCHED, TEXT, apart, make, wait

from qtx_ros import ros
from qtx_ros.nodes.any_publisher import hear_any
from qtx_ros.nodes.watchdog import Watchdog

BOOL = ros.message("std_msgs/msg/Bool")
BEST_EFFORT = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
STOPPED = "emergency stop by topic 'emergency_stop'"


@pytest.fixture
def other():
    with apart("button") as node:
        yield node


def drive(node, robot) -> None:
    robot.say(TEXT)
    node.trigger_configure()
    node.trigger_activate()


def test_an_emergency_stop_pressed_before_the_policy_began_holds_the_robot(other, context, tmp_path, spec):
    other.create_publisher(BOOL, "emergency_stop", LATCHED).publish(BOOL(data=True))
    node, robot, spinner = make(context, tmp_path, spec)
    try:
        drive(node, robot)
        assert wait(lambda: robot.decisions and robot.decisions[-1].reason == STOPPED)
    finally:
        spinner.close()


@pytest.mark.parametrize("qos", [BEST_EFFORT, LATCHED, ros.QoSProfile(depth=10)])
def test_any_publisher_of_an_emergency_stop_is_heard(driving, qos):
    _, robot = driving
    button = robot.node.create_publisher(BOOL, "emergency_stop", qos)
    assert wait(button.get_subscription_count)
    button.publish(BOOL(data=True))
    assert wait(lambda: robot.decisions[-1].reason == STOPPED)


def test_a_best_effort_teleop_takes_over(driving):
    _, robot = driving
    human = robot.node.create_publisher(BOOL, "intervention", BEST_EFFORT)
    robot.node.create_timer(0.1, lambda: human.publish(BOOL(data=True)))
    assert wait(lambda: robot.decisions[-1].reason == "a human drives")


def test_an_emergency_stop_of_another_type_is_named_while_the_policy_drives(driving, other):
    _, robot = driving
    other.create_publisher(ros.message("std_msgs/msg/String"), "emergency_stop", 10)
    sentence = (
        "/emergency_stop is published by node 'button' as std_msgs/msg/String, which is not heard: "
        "expected std_msgs/msg/Bool"
    )
    assert wait(lambda: robot.diagnostics and robot.diagnostics[-1].message == f"drives; {sentence}")


def test_a_subscription_that_does_not_match_warns_nobody_while_another_does(context, capfd):
    node, heard = ros.Node("listener", context=context), []
    hear_any(node, "std_msgs/msg/Bool", "flag", heard.append)
    publisher = node.create_publisher(BOOL, "flag", BEST_EFFORT)
    executor = ros.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    assert wait(lambda: publisher.publish(BOOL(data=True)) or executor.spin_once(timeout_sec=0.1) or heard)
    assert "offering incompatible QoS" not in capfd.readouterr().err
    executor.shutdown()


def test_a_watchdog_lets_a_best_effort_teleop_drive(context, spec):
    node = Watchdog([ros.Parameter("robot", value="sawyer_sim")], context=context)
    human = node.create_publisher(BOOL, spec.intervention.topic, BEST_EFFORT)
    assert wait(human.get_subscription_count)
