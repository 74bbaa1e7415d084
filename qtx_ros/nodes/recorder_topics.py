"""What the recorder listens to: topics are subscribed when they appear, as their publishers offer them."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtx_ros import ros
from qtx_ros.bags.writer import qos_profile
from qtx_ros.spec import Spec

DEPTH, CAMERA_DEPTH = 1000, 100  # messages the middleware keeps for us
CAMERA_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2")
ALWAYS = ("/parameter_events",)
NEVER = ("/rosout",)  # not recorded by all_topics
Known = dict[str, tuple[str, tuple]]  # topic → (type, QoS its publishers offer, as a bag stores it)


@dataclass(frozen=True)
class Heard:
    """One serialised message."""

    topic: str
    data: bytes
    source_ns: int  # when it was published, 0 if unknown
    stamped: bool  # it begins with a header

    def stamp_ns(self) -> int:
        """Header stamp [ns], 0 without a header."""
        if not self.stamped or len(self.data) < 12:
            return 0
        seconds, nanoseconds = struct.unpack_from("<iI" if self.data[1] & 1 else ">iI", self.data, 4)
        return seconds * 1_000_000_000 + nanoseconds


@dataclass
class _Listening:
    subscription: Any
    reliable: bool
    latched: bool


class Topics:
    """Serialised subscriptions to the robot's topics and `extra` ones, or to `everything`."""

    def __init__(
        self,
        node: Any,
        spec: Spec,
        extra: Sequence[str],
        everything: bool,
        hear: Callable[[Heard], None],
        lost: Callable[[str, int], None],
    ) -> None:
        """`hear` is called with every message, `lost` with a topic and how many more it has lost on the wire."""
        self._node, self._everything, self._hear, self._lost = node, everything, hear, lost
        streams = (*spec.cameras, *spec.states, *spec.commands, spec.instruction, spec.events, spec.intervention)
        self._types = {node.resolve_topic_name(stream.topic): stream.type for stream in streams}
        self._cameras: dict[str, list[str]] = {node.resolve_topic_name(camera.topic): [] for camera in spec.cameras}
        self._wanted = [*self._types, *ALWAYS, *(node.resolve_topic_name(topic) for topic in extra)]
        self._own = {*NEVER, node.resolve_topic_name("episode/event"), node.resolve_topic_name("~/status")}
        self._listening: dict[str, _Listening] = {}
        self._known: Known = {}
        self._latched: dict[str, deque[bytes]] = {}  # what a late joiner would be given
        self._refused: dict[str, str] = {}  # topics that nothing of can be recorded now: a sentence
        self._unknown: dict[str, str] = {}  # types that this machine does not have: why
        self._foreign: dict[str, str] = {}  # topics with publishers of types that are not recorded: these types
        self.on_new: Callable[[str, str, tuple], None] = lambda topic, type, profiles: None

    def known(self) -> Known:
        """Every topic subscribed so far."""
        return dict(self._known)

    def latched(self) -> list[tuple[str, bytes]]:
        """Latched messages heard so far, as a late joiner would be given them: (topic, CDR)."""
        return [(topic, data) for topic, kept in self._latched.items() for data in kept]

    def refresh(self) -> None:
        """Subscribe to what has appeared, and anew where a new publisher offers less than was asked for."""
        topics = self._wanted
        if self._everything:
            topics = [*topics, *(name for name, _ in self._node.get_topic_names_and_types())]
        for topic in dict.fromkeys(topics):
            if topic not in self._own:
                self._look_at(topic, self._node.get_publishers_info_by_topic(topic))

    def problems(self) -> dict[tuple[str, str], str]:
        """Topics of the robot that are not recorded, and cameras with more than one publisher, such as a forgotten
        driver: a sentence each."""
        several = {topic: nodes for topic, nodes in self._cameras.items() if len(nodes) > 1}
        mixed = {
            (topic, "mixed"): f"{topic} has {len(nodes)} publishers ({', '.join(nodes)}): "
            "pictures of several sources are mixed"
            for topic, nodes in several.items()
        }
        return mixed | {(topic, "refused"): text for topic, text in self._refused.items() if topic in self._types}

    def _look_at(self, topic: str, offers: list) -> None:
        """Follow the publishers that have the topic's type: the robot's, else the first that was seen."""
        known, _ = self._known.get(topic, (offers[0].topic_type if offers else "", ()))
        type = self._types.get(topic, known)
        fitting = [offer for offer in offers if offer.topic_type == type]
        others = ", ".join(sorted({offer.topic_type for offer in offers} - {type}))
        if topic in self._cameras:
            self._cameras[topic] = sorted(offer.node_name for offer in fitting)
        if others and not fitting:
            self._refuse(topic, f"it is {others}, expected {type}")
        elif type in self._unknown:
            self._refuse(topic, self._unknown[type])
        else:
            self._refused.pop(topic, None)
            self._tell_foreign(topic, others, type)
        if fitting and type not in self._unknown:
            self._follow(topic, type, fitting)

    def _follow(self, topic: str, type: str, offers: list) -> None:
        reliable = all(o.qos_profile.reliability == ros.ReliabilityPolicy.RELIABLE for o in offers)
        latched = all(o.qos_profile.durability == ros.DurabilityPolicy.TRANSIENT_LOCAL for o in offers)
        if latched:
            depth = sum(min(max(offer.qos_profile.depth, 1), CAMERA_DEPTH) for offer in offers)
            self._latched[topic] = deque(self._latched.get(topic, ()), maxlen=depth)
        if before := self._listening.get(topic):
            if (reliable or not before.reliable) and (latched or not before.latched):
                return
            self._node.destroy_subscription(before.subscription)
            reliable, latched = reliable and before.reliable, latched and before.latched
        self._listen(topic, type, offers, reliable, latched)

    def _listen(self, topic: str, type: str, offers: list, reliable: bool, latched: bool) -> None:
        try:
            message, _ = ros.message(type), ros.definition(type)
        except Exception as error:  # whatever a backend raises for a type this machine does not have
            self._unknown[type] = str(error)
            self._refuse(topic, str(error))
            return
        if topic not in self._known:
            self._known[topic] = (type, tuple(_offered(offer.qos_profile) for offer in offers))
            self.on_new(topic, *self._known[topic])
        stamped = next(iter(message.get_fields_and_field_types().values()), "") == "std_msgs/Header"

        def hear(data: bytes, info: dict) -> None:
            if latched:
                self._latched[topic].append(data)
            self._hear(Heard(topic, data, int(info["source_timestamp"]), stamped))

        def hear_alone(data: bytes) -> None:
            hear(data, {"source_timestamp": 0})

        callback = hear if self._tells_source_time() else hear_alone
        depth = CAMERA_DEPTH if type in CAMERA_TYPES else DEPTH
        subscription = self._subscribe(message, topic, callback, _request(depth, reliable, latched))
        self._listening[topic] = _Listening(subscription, reliable, latched)

    def _subscribe(self, message: type, topic: str, callback: Callable, profile: Any) -> Any:
        """A serialised subscription that counts what it loses, where the middleware can."""
        events = ros.SubscriptionEventCallbacks(
            message_lost=lambda info: self._lost(topic, int(info.total_count_change))
        )
        arguments = (message, topic, callback, profile)
        try:
            return self._node.create_subscription(*arguments, event_callbacks=events, raw=True)
        except Exception as error:
            if type(error).__name__ != "UnsupportedEventTypeError":
                raise
            return self._node.create_subscription(*arguments, raw=True)

    def _tells_source_time(self) -> bool:
        """Whether callbacks may take the message's information: everywhere but in rclpy of Humble."""
        return ros.BACKEND == "dds" or any(hasattr(s, "CallbackType") for s in self._node.subscriptions)

    def _refuse(self, topic: str, reason: str) -> None:
        """Note it, and say it once; what concerns the robot's topics is said as one of the `problems`."""
        text = f"topic {topic} is not recorded: {reason}"
        if self._refused.get(topic) != text and topic not in self._types:
            self._node.get_logger().error(text)
        self._refused[topic] = text

    def _tell_foreign(self, topic: str, others: str, type: str) -> None:
        """Say once that a topic which is recorded has publishers that are not."""
        if others and self._foreign.get(topic) != others:
            self._node.get_logger().warning(f"{topic} is recorded as {type} only, somebody publishes {others} there")
        self._foreign[topic] = others


def _request(depth: int, reliable: bool, latched: bool) -> Any:
    return ros.QoSProfile(
        depth=depth,
        reliability=ros.ReliabilityPolicy.RELIABLE if reliable else ros.ReliabilityPolicy.BEST_EFFORT,
        durability=ros.DurabilityPolicy.TRANSIENT_LOCAL if latched else ros.DurabilityPolicy.VOLATILE,
    )


def _offered(profile: Any) -> dict:
    """A publisher's QoS as a bag stores it; discovery may leave the depth unknown (0)."""
    return qos_profile(
        depth=int(profile.depth or 10),
        reliable=profile.reliability == ros.ReliabilityPolicy.RELIABLE,
        latched=profile.durability == ros.DurabilityPolicy.TRANSIENT_LOCAL,
    )
