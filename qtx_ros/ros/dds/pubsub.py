"""Publishers and subscriptions."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

from qtx_ros.ros.dds.callback_groups import CallbackGroup
from qtx_ros.ros.dds.endpoints import Channel, Reader, Sample, Writer
from qtx_ros.ros.dds.events import MessageLostEvent, SubscriptionEventCallbacks
from qtx_ros.ros.dds.exceptions import RCLError
from qtx_ros.ros.dds.qos import POLICY_NAMES, QoSProfile
from qtx_ros.ros.definitions import type_hash
from qtx_ros.ros.messages import deserialize, encode

RAW = (bytes, bytearray, memoryview)


def topic_channel(topic: str, name: str) -> Channel:
    """The DDS topic behind a ROS topic."""
    return Channel(f"rt{topic}", name, f"typehash={type_hash(name)};")


class Publisher:
    """Publishes messages of one type, or their CDR."""

    def __init__(self, node, msg_type: type, topic: str, profile: QoSProfile) -> None:
        self.msg_type, self.topic, self.qos_profile = msg_type, topic, profile
        self.topic_name, self._node = node.resolve_topic_name(topic), node
        channel = topic_channel(self.topic_name, msg_type.__msgtype__)
        self._writer: Writer = node.participant.writer(channel, profile, self._warn)
        node.participant.add_endpoints(node.get_fully_qualified_name(), self._writer)

    def publish(self, msg: Any) -> None:
        """Publish a message or serialised bytes.

        Raises:
            TypeError: not a message of this type.
            RCLError: ROS was shut down.
        """
        if isinstance(msg, RAW):
            data = msg
        elif getattr(msg, "__msgtype__", None) == self.msg_type.__msgtype__:
            data = encode(msg, self.msg_type.__msgtype__)
        else:
            expected = self.msg_type.__msgtype__
            raise TypeError(f"cannot publish {type(msg).__name__} on {self.topic_name}, expected {expected}")
        if self._node.participant.closed:
            raise RCLError(f"cannot publish on {self.topic_name}: the context is not valid, ROS was shut down")
        self._writer.write(data)  # after a signal too, until shutdown(): a last command may go out

    def get_subscription_count(self) -> int:
        """Subscriptions this publisher reaches."""
        return len(self._writer.matched())

    def assert_liveliness(self) -> None:
        """Say that the publisher is alive, for liveliness MANUAL_BY_TOPIC."""
        self._writer.assert_liveliness()

    def wait_for_all_acked(self, timeout) -> bool:
        """Whether all reliable subscriptions have everything within `timeout` (a Duration)."""
        return self._writer.wait_for_acks(timeout.nanoseconds)

    def destroy(self) -> None:
        self._node.participant.remove_endpoints(self._node.get_fully_qualified_name(), self._writer)

    def _warn(self, policy: int) -> None:
        self._node.get_logger().warning(
            f"New subscription discovered on topic '{self.topic_name}', requesting incompatible QoS. "
            f"No messages will be sent to it. Last incompatible policy: {POLICY_NAMES.get(policy, policy)}"
        )


class Subscription:
    """Calls back with every message; `raw`: with its CDR as bytes."""

    def __init__(
        self,
        node,
        msg_type: type,
        topic: str,
        callback: Callable,
        profile: QoSProfile,
        callback_group: CallbackGroup,
        raw: bool,
        event_callbacks: SubscriptionEventCallbacks | None = None,
    ) -> None:
        self.msg_type, self.topic, self.qos_profile, self.raw = msg_type, topic, profile, raw
        self.callback, self.callback_group = callback, callback_group
        self.topic_name, self._node, self._wants_info = node.resolve_topic_name(topic), node, _takes_two(callback)
        channel = topic_channel(self.topic_name, msg_type.__msgtype__)
        on_lost = event_callbacks.message_lost if event_callbacks else None
        self.event_handlers = [MessageLostEvent(node, on_lost, callback_group)] if on_lost else []
        report = self.event_handlers[0].report if on_lost else None
        warn = self._warn if event_callbacks is None or event_callbacks.use_default_callbacks else None
        self._reader: Reader = node.participant.reader(channel, profile, warn, report)
        self.condition = self._reader.condition
        node.participant.add_endpoints(node.get_fully_qualified_name(), self._reader)

    def get_publisher_count(self) -> int:
        """Publishers this subscription hears."""
        return len(self._reader.matched())

    def take(self) -> Callable[[], None] | None:
        """The callback with the oldest message waiting."""
        sample = self._reader.take()
        return None if sample is None else lambda: self._deliver(sample)

    def destroy(self) -> None:
        self._node.participant.remove_endpoints(self._node.get_fully_qualified_name(), self._reader)

    def _deliver(self, sample: Sample) -> None:
        msg = sample.data if self.raw else deserialize(sample.data, self.msg_type)
        if self._wants_info:
            self.callback(msg, {"source_timestamp": sample.source_timestamp, "received_timestamp": time.time_ns()})
        else:
            self.callback(msg)

    def _warn(self, policy: int) -> None:
        self._node.get_logger().warning(
            f"New publisher discovered on topic '{self.topic_name}', offering incompatible QoS. "
            f"No messages will be received from it. Last incompatible policy: {POLICY_NAMES.get(policy, policy)}"
        )


def _takes_two(callback: Callable) -> bool:
    """Whether the callback wants the message's information beside the message."""
    try:
        inspect.signature(callback).bind(None)
        return False
    except TypeError:
        return True
    except ValueError:
        return False
