"""The embedded backend: a ROS 2 participant on the DDS wire, without ROS 2. Same names as rclpy, in one flat module."""

# ruff: noqa: F401
from __future__ import annotations

from qtx_ros.ros.dds.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from qtx_ros.ros.dds.context import Context, get_default_context, init, ok, shutdown, try_shutdown
from qtx_ros.ros.dds.cyclone import library_path
from qtx_ros.ros.dds.events import SubscriptionEventCallbacks
from qtx_ros.ros.dds.exceptions import (
    ExternalShutdownException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    InvalidTopicNameException,
    NotInitializedException,
    ParameterAlreadyDeclaredException,
    ParameterNotDeclaredException,
    RCLError,
)
from qtx_ros.ros.dds.executors import (
    Executor,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
    get_global_executor,
    spin,
    spin_once,
    spin_until_future_complete,
)
from qtx_ros.ros.dds.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from qtx_ros.ros.dds.logging import LoggingSeverity, get_logger, set_logger_level
from qtx_ros.ros.dds.node import Node
from qtx_ros.ros.dds.parameter import Parameter
from qtx_ros.ros.dds.qos import (
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
from qtx_ros.ros.dds.task import Future
from qtx_ros.ros.dds.time import Clock, ClockType, Duration, ROSClock, Time
from qtx_ros.ros.definitions import definition, type_hash
from qtx_ros.ros.messages import deserialize, message, serialize, service

FloatingPointRange = message("rcl_interfaces/msg/FloatingPointRange")
IntegerRange = message("rcl_interfaces/msg/IntegerRange")
ParameterDescriptor = message("rcl_interfaces/msg/ParameterDescriptor")
SetParametersResult = message("rcl_interfaces/msg/SetParametersResult")
