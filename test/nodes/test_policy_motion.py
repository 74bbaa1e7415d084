"""How the robot moves, over ROS topics: speed limits, commands between ticks, a URDF's limits, velocity interfaces."""

import dataclasses

import numpy as np
from robot_stub import LATCHED, TEXT, begin, make, wait

from qtx_ros import ros
from qtx_ros.spec import Spec

ARM = "arm_controller/joint_trajectory"


def limited(spec: Spec, **changes) -> Spec:
    """The robot with other first dimensions: what `changes` say of each but the gripper."""
    (stream,) = spec.commands
    dimensions = tuple(dataclasses.replace(d, **changes) if d.mode == "delta" else d for d in stream.dimensions)
    return dataclasses.replace(spec, commands=(dataclasses.replace(stream, dimensions=dimensions),))


def drive(context, folder, spec, **parameters):
    node, robot, spinner = make(context, folder, spec, instruction=TEXT, **parameters)
    node.trigger_configure()
    assert not node.error
    node.trigger_activate()
    begin(robot)
    return robot, spinner


def describe(robot, low, high):
    publisher = robot.node.create_publisher(ros.message("std_msgs/msg/String"), "robot_description", LATCHED)
    joint = f'<joint name="right_j0" type="revolute"><limit lower="{low}" upper="{high}"/></joint>'
    publisher.publish(ros.message("std_msgs/msg/String")(data=f"<robot name='arm'>{joint}</robot>"))


def test_commands_between_ticks_move_no_faster_than_the_limit(context, tmp_path, spec):
    robot, spinner = drive(context, tmp_path, limited(spec, max_velocity=0.2, max_acceleration=2.0), output_rate=200.0)
    decisions, commands = len(robot.decisions), len(robot.commands[ARM])
    assert wait(lambda: len(robot.commands[ARM]) > commands + 200)
    assert len(robot.commands[ARM]) - commands > 3 * (len(robot.decisions) - decisions)
    steps = np.abs(np.diff(np.array(robot.commands[ARM][commands:])[:, :7], axis=0))
    assert np.median(steps) <= 0.2 / 200 + 1e-6, "a busy machine may send late, but not as a rule"
    assert steps.max() < 0.15, "the whole way of a tick at once"
    spinner.close()


def test_a_hold_brakes_instead_of_jumping(context, tmp_path, spec):
    robot, spinner = drive(context, tmp_path, limited(spec, max_velocity=0.2, max_acceleration=0.5))
    robot.blind = True
    assert wait(lambda: len(robot.holds()) > 20)
    held = np.array(robot.commands[ARM][-10:])[:, :7]
    assert np.ptp(held, axis=0).max() < 1e-9, "at rest"
    spinner.close()


def test_a_urdf_narrows_the_limits_and_one_that_leaves_nothing_holds(context, tmp_path, spec):
    robot, spinner = drive(context, tmp_path, spec)
    joint = robot.spec.dimensions[0]
    assert joint.name == "right_j0" and robot.commands[ARM][-1][0] != 0.0
    describe(robot, -0.001, 0.001)
    assert wait(lambda: abs(robot.commands[ARM][-1][0]) <= 0.001 + 1e-9)
    describe(robot, 7.0, 8.0)
    assert wait(lambda: robot.holds() and "the robot description allows 7.0 to 8.0" in robot.holds()[-1].reason)
    spinner.close()


def test_a_velocity_interface_is_held_at_zero(context, tmp_path, spec):
    (stream,) = spec.commands
    speeds = tuple(dataclasses.replace(d, mode="absolute", limits=None) for d in stream.dimensions)
    stream = dataclasses.replace(
        stream, topic="speeds", type="std_msgs/msg/Float64MultiArray", interface="velocity", dimensions=speeds
    )
    robot, spinner = drive(context, tmp_path, dataclasses.replace(spec, commands=(stream,)))
    assert np.any(robot.commands["speeds"][-1] != 0)
    robot.blind = True
    assert wait(lambda: robot.holds() and not np.any(robot.commands["speeds"][-1]))
    spinner.close()
