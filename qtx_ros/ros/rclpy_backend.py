"""The rclpy backend: rclpy's own objects under the flat names, Humble to Lyrical."""

# ruff: noqa: F401
from __future__ import annotations

import functools
from collections.abc import Callable

import rclpy
import rclpy.executors
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy import get_global_executor, init, ok, shutdown
from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, ROSClock
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    InvalidTopicNameException,
    NotInitializedException,
    ParameterAlreadyDeclaredException,
    ParameterNotDeclaredException,
)
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity, get_logger, set_logger_level
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_parameters,
    qos_profile_sensor_data,
    qos_profile_services_default,
    qos_profile_system_default,
)
from rclpy.task import Future
from rclpy.time import Time
from rclpy.utilities import get_default_context

from qtx_ros.ros.rclpy_messages import definition, deserialize, message, serialize, service, type_hash

RCLError = rclpy_implementation.RCLError


def _orderly(function: Callable) -> Callable:
    """A signal in the middle of spinning makes rclpy fail with RCLError: say ExternalShutdownException instead."""

    @functools.wraps(function)
    def run(*args, **keywords):
        try:
            return function(*args, **keywords)
        except RCLError:
            context = args[0].context
            if context.ok():
                raise
            raise ExternalShutdownException() from None

    return run


class SingleThreadedExecutor(rclpy.executors.SingleThreadedExecutor):
    """rclpy's, which ends in order."""

    spin_once = _orderly(rclpy.executors.SingleThreadedExecutor.spin_once)
    spin_once_until_future_complete = _orderly(
        rclpy.executors.SingleThreadedExecutor.spin_once_until_future_complete
    )


class MultiThreadedExecutor(rclpy.executors.MultiThreadedExecutor):
    """rclpy's, which ends in order."""

    spin_once = _orderly(rclpy.executors.MultiThreadedExecutor.spin_once)
    spin_once_until_future_complete = _orderly(rclpy.executors.MultiThreadedExecutor.spin_once_until_future_complete)


spin, spin_once = _orderly(rclpy.spin), _orderly(rclpy.spin_once)
spin_until_future_complete = _orderly(rclpy.spin_until_future_complete)


def try_shutdown(*, context: Context | None = None) -> None:
    """Shut down if need be, also from a signal handler."""
    if hasattr(rclpy, "try_shutdown"):
        rclpy.try_shutdown(context=context)
    elif rclpy.ok(context=context):
        rclpy.shutdown(context=context)
