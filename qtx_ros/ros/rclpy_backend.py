"""The rclpy backend: rclpy's own objects under the flat names, Humble to Lyrical."""

# ruff: noqa: F401
from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import rclpy
import rclpy.executors
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy import init, ok, shutdown
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

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

RCLError = rclpy_implementation.RCLError


def _orderly(spin_some: Callable) -> Callable:
    """rclpy's `spin_once`, without two errors that it raises at unlucky moments.

    A signal while it waits or publishes (RCLError) becomes ExternalShutdownException; an entity that another thread
    destroyed while it was being waited for (InvalidHandle) is passed over.
    """

    @functools.wraps(spin_some)
    def run(self, *args, **keywords):
        try:
            return spin_some(self, *args, **keywords)
        except rclpy_implementation.InvalidHandle:
            return None
        except RCLError:
            if self.context.ok():
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

    def __init__(self, *args, **keywords) -> None:
        super().__init__(*args, **keywords)
        _start_threads(self._executor)

    spin_once = _orderly(rclpy.executors.MultiThreadedExecutor.spin_once)
    spin_once_until_future_complete = _orderly(rclpy.executors.MultiThreadedExecutor.spin_once_until_future_complete)


def _start_threads(pool: ThreadPoolExecutor) -> None:
    """Start a pool's threads before the first callback does.

    A thread whose start Ctrl-C interrupts is unknown to its pool, and the process waits for it at its end for ever.
    """
    together = threading.Barrier(pool._max_workers)
    for _ in range(pool._max_workers):
        pool.submit(together.wait, 10.0)


_global_executor: Executor | None = None


def get_global_executor() -> Executor:
    """The executor behind `spin` and its relatives."""
    global _global_executor
    if _global_executor is None:
        _global_executor = SingleThreadedExecutor()

        def forget() -> None:
            global _global_executor
            _global_executor.shutdown()
            _global_executor = None

        get_default_context().on_shutdown(forget)
    return _global_executor


def spin(node: Node, executor: Executor | None = None) -> None:
    """Run the node's callbacks until shutdown."""
    rclpy.spin(node, executor=executor or get_global_executor())


def spin_once(node: Node, *, executor: Executor | None = None, timeout_sec: float | None = None) -> None:
    """Run one callback of the node."""
    rclpy.spin_once(node, executor=executor or get_global_executor(), timeout_sec=timeout_sec)


def spin_until_future_complete(
    node: Node, future: Future, executor: Executor | None = None, timeout_sec: float | None = None
) -> None:
    """Run the node's callbacks until the future is done or the time is over."""
    rclpy.spin_until_future_complete(node, future, executor or get_global_executor(), timeout_sec)


def try_shutdown(*, context: Context | None = None) -> None:
    """Shut down if need be, also from a signal handler."""
    if hasattr(rclpy, "try_shutdown"):
        rclpy.try_shutdown(context=context)
    elif rclpy.ok(context=context):
        rclpy.shutdown(context=context)
