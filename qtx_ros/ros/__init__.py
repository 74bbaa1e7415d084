"""rclpy's API in one flat module on one of two backends: rclpy where it imports, else an embedded DDS participant.

`QTX_ROS_BACKEND=rclpy|dds` forces one. `BACKEND` tells which one it is.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

from qtx_ros.errors import QtxError

BACKENDS = {"rclpy": "qtx_ros.ros.rclpy_backend", "dds": "qtx_ros.ros.dds"}
NAMES = (
    # lifetime
    "init", "ok", "shutdown", "try_shutdown", "Context", "get_default_context",
    "spin", "spin_once", "spin_until_future_complete", "get_global_executor",
    # nodes and executors
    "Node", "LifecycleNode", "LifecycleState", "TransitionCallbackReturn",
    "Executor", "SingleThreadedExecutor", "MultiThreadedExecutor", "Future",
    "CallbackGroup", "MutuallyExclusiveCallbackGroup", "ReentrantCallbackGroup",
    # quality of service
    "QoSProfile", "ReliabilityPolicy", "DurabilityPolicy", "HistoryPolicy", "LivelinessPolicy",
    "qos_profile_sensor_data", "qos_profile_system_default", "qos_profile_services_default", "qos_profile_parameters",
    "SubscriptionEventCallbacks",
    # time and logging
    "Time", "Duration", "Clock", "ClockType", "ROSClock", "LoggingSeverity", "get_logger", "set_logger_level",
    # parameters
    "Parameter", "ParameterDescriptor", "FloatingPointRange", "IntegerRange", "SetParametersResult",
    # messages
    "message", "service", "serialize", "deserialize", "definition", "type_hash",
    # exceptions
    "ExternalShutdownException", "NotInitializedException", "RCLError", "InvalidTopicNameException",
    "ParameterNotDeclaredException", "ParameterAlreadyDeclaredException",
    "InvalidParameterTypeException", "InvalidParameterValueException",
)  # fmt: skip


def choose_backend() -> str:
    """`rclpy` or `dds`: what QTX_ROS_BACKEND says, otherwise rclpy where it imports.

    Raises:
        QtxError: the choice cannot be had.
    """
    wanted = os.environ.get("QTX_ROS_BACKEND", "")
    if wanted not in ("", *BACKENDS):
        raise QtxError(f"QTX_ROS_BACKEND is {wanted!r}, expected one of {', '.join(BACKENDS)}")
    problem = None if wanted == "dds" else _rclpy_problem()
    if wanted == "rclpy" and problem:
        raise QtxError(f"QTX_ROS_BACKEND is 'rclpy', but rclpy does not import: {problem}")
    if wanted == "dds" or problem:
        from qtx_ros.ros.dds.cyclone import library_path

        library_path()
        return "dds"
    return "rclpy"


def _rclpy_problem() -> str | None:
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        return str(error)
    return None


def _load() -> tuple[str, ModuleType]:
    name = choose_backend()
    return name, importlib.import_module(BACKENDS[name])


BACKEND, _module = _load()
globals().update({name: getattr(_module, name) for name in NAMES})
__all__ = ["BACKEND", "steady_clock", *NAMES]


def steady_clock() -> Any:
    """A clock that nobody sets and that goes on while simulated time stands still, for `create_timer(clock=…)`."""
    return _module.Clock(clock_type=_module.ClockType.STEADY_TIME)
