"""What diagnostics say about an input that does not arrive."""

import pytest
from robot_stub import apart, wait

from qtx_ros import ros

CAMERA = "sensor_msgs/msg/Image"
BEST_EFFORT = ros.QoSProfile(depth=1, reliability=ros.ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def alone(pair):
    """An active node whose robot is silent and gone from the graph."""
    node, robot = pair
    for publisher in list(robot.node.publishers):
        if publisher.topic_name in ("/camera/image_raw", "/instruction"):
            robot.node.destroy_publisher(publisher)
    robot.blind = True
    node.trigger_configure()
    node.trigger_activate()
    return robot


def said(robot, sentence) -> bool:
    return wait(lambda: robot.diagnostics and sentence in robot.diagnostics[-1].message)


def test_a_topic_without_publisher_is_named(alone):
    assert said(alone, "nobody publishes /camera/image_raw; nobody publishes /instruction")
    assert "joint_states" not in alone.diagnostics[-1].message


@pytest.fixture
def other():
    with apart("other") as node:
        yield node


def test_a_publisher_of_another_type_is_named_with_both_types(alone, other):
    other.create_publisher(ros.message("sensor_msgs/msg/CompressedImage"), "camera/image_raw", BEST_EFFORT)
    assert said(
        alone,
        "/camera/image_raw is published by node 'other' as sensor_msgs/msg/CompressedImage, "
        "the robot's file says sensor_msgs/msg/Image",
    )


@pytest.mark.parametrize(
    ("qos", "sentence"),
    [
        (ros.QoSProfile(depth=1), "with durability volatile, the policy asks for transient local"),
        (BEST_EFFORT, "with reliability best effort, the policy asks for reliable"),
    ],
)
def test_a_publisher_whose_qos_does_not_reach_the_policy_is_named(alone, qos, sentence):
    alone.node.create_publisher(ros.message("std_msgs/msg/String"), "instruction", qos)
    assert said(alone, f"/instruction is published by node 'robot' {sentence}")
