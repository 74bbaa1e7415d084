"""`qtx policy`: runs the policy node until it is told to stop; a hold is its last command."""

from __future__ import annotations

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.policy_node import PolicyNode
from qtx_ros.nodes.policy_parameters import DESCRIPTIONS, Values
from qtx_ros.nodes.run import overrides, run

THREADS = 5  # the tick, the inputs, pictures before the tick, the watchdog, and the parameter and lifecycle services


def add_arguments(parser) -> None:
    """Arguments of `qtx policy`; they are the node's parameters, so `--ros-args -p name:=value` says the same."""
    for name, default in vars(Values()).items():
        if name != "autostart":
            parser.add_argument("--" + name.replace("_", "-"), type=type(default), help=DESCRIPTIONS[name])
    parser.add_argument("--no-autostart", action="store_false", dest="autostart", default=None,
                        help="wait for lifecycle transitions from outside")  # fmt: skip


def main(arguments) -> int:
    """Run the node until SIGINT or SIGTERM."""
    given = overrides(arguments, vars(Values()))
    return run(arguments.ros_args, lambda context: _node(given, context), THREADS, stop=_halt)


def _node(overrides: list[ros.Parameter], context: ros.Context) -> PolicyNode:
    node = PolicyNode(parameter_overrides=overrides, context=context)
    if node.get_parameter("autostart").value:
        start(node)
    return node


def _halt(node: PolicyNode) -> None:
    node.halt("the policy's process ends")


def start(node: PolicyNode) -> None:
    """Configure and activate; QtxError when that cannot be."""
    node.trigger_configure()
    if node.error:
        raise QtxError(node.error)
    node.trigger_activate()
