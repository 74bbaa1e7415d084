"""A robot behind ros2_control: its controllers, the policy and the watchdog. docs/ros2_control.md before the first run.

`ros2 launch qtx_ros ros2_control.launch.py bundle:=/path/to/bundle robot:=/path/to/robot.yaml`
The controller_manager (your driver's launch file) must run, with config/ros2_control/controllers.yaml or your own.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from qtx_ros.launching import Argument, description

POLICY = {
    "bundle": Argument(str, "folder of the policy's bundle, or the name of a shipped one (needed)"),
    "robot": Argument(str, "robot YAML; empty: the contract in the bundle"),
    "max_step": Argument(float, "largest step of a command per tick, as a share of the range", "0.2"),
    "output_rate": Argument(float, "commands per second; for position_controller the controller's rate, else empty"),
    "deadman_button": Argument(int, "button of topic joy that must be held for the robot to drive", "4"),
    "autostart": Argument(bool, "false: look at the inputs first, then ros2 lifecycle set /policy activate", "false"),
}
WATCHDOG = {name: POLICY[name] for name in ("bundle", "robot")}
CONTROLLERS = DeclareLaunchArgument(
    "controllers",
    default_value="joint_state_broadcaster arm_controller",
    description="controllers to start, blank separated",
)


def generate_launch_description():
    launched = description({"policy": POLICY, "watchdog": WATCHDOG})
    launched.add_action(CONTROLLERS)
    launched.add_action(OpaqueFunction(function=_spawner))
    return launched


def _spawner(context):
    names = LaunchConfiguration("controllers").perform(context).split()
    return [Node(package="controller_manager", executable="spawner", arguments=names, output="screen")]
