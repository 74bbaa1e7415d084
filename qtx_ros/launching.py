"""What our launch files share: described arguments that become parameters of our nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown, TimerAction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

LAST_WORDS = 1.0  # [s] from a node's end to that of the others: the watchdog holds the robot in the meantime


class Argument(NamedTuple):
    """A launch argument and the parameter of the same name. Left empty it sets nothing: the node's default counts."""

    type: type
    text: str
    default: str = ""


COMMON = {
    "namespace": Argument(str, "namespace of the nodes and of their relative topics"),
    "use_sim_time": Argument(bool, "take the time from /clock", "false"),
    "params_file": Argument(str, "YAML file with parameters of the nodes; arguments given here win over it"),
    "remap": Argument(str, "topics to remap, blank separated: camera/image_raw:=/wrist/image_raw joints:=/arm/joints"),
    "log_level": Argument(str, "debug, info, warn, error or fatal", "info"),
    "enclaves": Argument(str, "SROS 2: what stands before a node's name in its enclave, such as /qtx; empty: none"),
}


def description(nodes: Mapping[str, Mapping[str, Argument]]) -> LaunchDescription:
    """A launch description of nodes: executable → its arguments. Those of `COMMON` go to every node."""
    arguments = {name: argument for of_node in nodes.values() for name, argument in of_node.items()} | COMMON
    declared = [DeclareLaunchArgument(n, default_value=a.default, description=a.text) for n, a in arguments.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes, args=[nodes])])


def _nodes(context: LaunchContext, nodes: Mapping[str, Mapping[str, Argument]]) -> list[Node]:
    return [_node(context, executable, arguments) for executable, arguments in nodes.items()]


def _node(context: LaunchContext, executable: str, arguments: Mapping[str, Argument]) -> Node:
    common = {name: LaunchConfiguration(name).perform(context) for name in COMMON}
    arguments = {**arguments, "use_sim_time": COMMON["use_sim_time"]}
    given = {name: a for name, a in arguments.items() if LaunchConfiguration(name).perform(context)}
    parameters = {name: ParameterValue(LaunchConfiguration(name), value_type=a.type) for name, a in given.items()}
    enclave = ["--enclave", f"{common['enclaves']}/{executable}"] if common["enclaves"] else []
    return Node(
        package="qtx_ros",
        executable=executable,
        namespace=common["namespace"] or None,
        parameters=[*([common["params_file"]] if common["params_file"] else []), parameters],
        remappings=[tuple(pair.split(":=", 1)) for pair in common["remap"].split()],
        ros_arguments=["--log-level", common["log_level"], *enclave],
        output="screen",
        on_exit=TimerAction(period=LAST_WORDS, actions=[Shutdown(reason=f"{executable} ended")]),
    )
