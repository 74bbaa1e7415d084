"""The rclpy backend: rclpy's own objects under the flat names, Humble to Lyrical."""

# ruff: noqa: F401
from __future__ import annotations

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy import get_global_executor, init, ok, shutdown, spin, spin_once, spin_until_future_complete
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
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
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


def try_shutdown(*, context: Context | None = None) -> None:
    """Shut down if need be, also from a signal handler."""
    if hasattr(rclpy, "try_shutdown"):
        rclpy.try_shutdown(context=context)
    elif rclpy.ok(context=context):
        rclpy.shutdown(context=context)
