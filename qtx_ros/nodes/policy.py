"""`qtx policy`: runs the policy node until it is told to stop; a hold is its last command."""

from __future__ import annotations

import signal
import threading
import time

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.policy_node import PolicyNode
from qtx_ros.nodes.policy_parameters import DESCRIPTIONS, Values

DELIVERY = 0.1  # [s] for the last command to leave the process
THREADS = 4  # the tick, the inputs, the watchdog, and the parameter and lifecycle services


def add_arguments(parser) -> None:
    """Arguments of `qtx policy`; they are the node's parameters, so `--ros-args -p name:=value` says the same."""
    for name, default in vars(Values()).items():
        if name != "autostart":
            parser.add_argument("--" + name.replace("_", "-"), type=type(default), help=DESCRIPTIONS[name])
    parser.add_argument("--no-autostart", action="store_false", dest="autostart", default=None,
                        help="wait for lifecycle transitions from outside")  # fmt: skip


def main(arguments) -> int:
    """Run the node until SIGINT or SIGTERM."""
    context = ros.Context()  # one of its own: ROS must not stop publishing at a signal before the hold is out
    ros.init(args=arguments.ros_args, context=context)
    try:
        return _run(_overrides(arguments), context)
    finally:
        ros.try_shutdown(context=context)


def _overrides(arguments) -> list[ros.Parameter]:
    given = {name: getattr(arguments, name, None) for name in vars(Values())}
    return [ros.Parameter(name, value=value) for name, value in given.items() if value is not None]


def _run(overrides: list[ros.Parameter], context: ros.Context) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = PolicyNode(parameter_overrides=overrides, context=context)
    executor = ros.MultiThreadedExecutor(num_threads=THREADS, context=context)
    executor.add_node(node)
    spinner = _Spinner(executor, stop)
    try:
        if node.get_parameter("autostart").value:
            start(node)
        spinner.start()
        stop.wait()
    finally:
        if node.halt("the policy's process ends"):
            time.sleep(DELIVERY)
        executor.shutdown()
        node.destroy_node()
    return spinner.result()


def start(node: PolicyNode) -> None:
    """Configure and activate; QtxError when that cannot be."""
    node.trigger_configure()
    if node.error:
        raise QtxError(node.error)
    node.trigger_activate()


class _Spinner(threading.Thread):
    """Spins the executor off the main thread, which is then free for signals."""

    def __init__(self, executor, stop: threading.Event) -> None:
        super().__init__(name="spin", daemon=True)
        self._executor, self._stop_event = executor, stop
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._executor.spin()
        except ros.ExternalShutdownException:
            pass
        except BaseException as error:
            if not self._stop_event.is_set():  # rclpy's executor may trip over its own end
                self._error = error
        self._stop_event.set()

    def result(self) -> int:
        """0, or the exception that ended spinning."""
        if self._error is not None:
            raise self._error
        return 0
