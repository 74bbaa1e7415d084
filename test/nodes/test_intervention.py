"""A human takes over from the policy, over ROS topics."""

import numpy as np
from robot_stub import wait

from qtx_ros import ros
from qtx_ros.data.messages import command_fields
from qtx_ros.nodes.fields import build
from qtx_ros.nodes.intervention import Intervention
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
ARM = SPEC.commands[0].topic
HAND = 0.5  # where the human leaves the gripper


class Human:
    """Drives at the robot's rate while `driving`; says so, unless `mute`."""

    def __init__(self, robot):
        self.driving, self.mute, self.said = False, False, Intervention(robot.node, SPEC)
        self._publisher = robot.node.create_publisher(ros.message(SPEC.commands[0].type), ARM, 1)
        robot.node.create_timer(0.05, self._tick)

    def _tick(self):
        if not self.mute:
            self.said.say(self.driving)
        if self.driving and not self.mute:
            values = np.append(np.full(7, 0.1), HAND)
            self._publisher.publish(build(*command_fields(SPEC.commands[0], values, 0, SPEC.period_ns)))


def taking_over(robot):
    """A human who drives, as the policy has noticed; what was commanded before is forgotten."""
    human = Human(robot)
    human.driving = True
    assert wait(lambda: robot.holds() and robot.holds()[-1].reason == "a human drives")
    robot.commands[ARM].clear()
    return human


def test_while_a_human_drives_the_policy_commands_nothing_and_says_so(driving):
    _, robot = driving
    human = taking_over(robot)
    assert wait(lambda: len(robot.commands[ARM]) > 20)
    assert all(values[7] == HAND for values in robot.commands[ARM])
    assert wait(lambda: robot.diagnostics[-1].message == "holds: a human drives")
    human.driving, count = False, len(robot.choices())
    assert wait(lambda: len(robot.choices()) > count + 3)


def test_an_emergency_stop_that_a_human_drives_over_is_seen(driving):
    _, robot = driving
    taking_over(robot)
    stop = robot.node.create_publisher(ros.message("std_msgs/msg/Bool"), "emergency_stop", 10)
    assert wait(lambda: stop.get_subscription_count() > 0)
    stop.publish(ros.message("std_msgs/msg/Bool")(data=True))
    reason = "a human drives; emergency stop by topic 'emergency_stop'"
    assert wait(lambda: robot.holds()[-1].reason == reason)
    assert wait(lambda: robot.diagnostics[-1].message == f"holds: {reason}")


def test_a_teleop_that_dies_while_it_drives_leaves_a_commanded_hold(driving):
    node, robot = driving
    human = taking_over(robot)
    assert wait(lambda: len(robot.commands[ARM]) > 3)
    human.mute = True
    assert wait(lambda: "has been silent" in robot.holds()[-1].reason)
    robot.commands[ARM].clear()
    count = len(robot.choices())
    assert wait(lambda: len(robot.commands[ARM]) > 20)
    held = np.array(robot.commands[ARM])
    np.testing.assert_allclose(held[:, :7], np.tile(robot.state[:7], (len(held), 1)))
    assert (held[:, 7] == HAND).all(), "the gripper stays where the human left it"
    assert len(robot.choices()) == count
    node.trigger_deactivate()
    node.trigger_activate()
    assert wait(lambda: len(robot.choices()) > count)
