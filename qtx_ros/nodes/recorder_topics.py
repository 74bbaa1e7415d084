"""What the recorder listens to: topics are subscribed when they appear, as their publishers offer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtx_ros import ros
from qtx_ros.data.bag import qos_profile
from qtx_ros.spec import Spec

DEPTH = 100
OWN = ("/rosout", "/parameter_events", "/ros_discovery_info")  # never recorded by all_topics
Receive = Callable[[str, bytes, int, bool, bool], None]  # topic, data, source time [ns], latched, begins with a header


class Topics:
    """Serialised subscriptions to the robot's topics, extra topics, or all topics."""

    def __init__(self, node: Any, spec: Spec, extra: Sequence[str], everything: bool, receive: Receive) -> None:
        self._node, self._everything, self._receive = node, everything, receive
        streams = (*spec.cameras, *spec.states, *spec.commands, spec.instruction, spec.events)
        self._types = {node.resolve_topic_name(stream.topic): stream.type for stream in streams}
        self._wanted = [*self._types, *(node.resolve_topic_name(topic) for topic in extra)]
        self._own = {*OWN, node.resolve_topic_name("episode/event"), node.resolve_topic_name("~/status")}
        self._subscriptions: dict[str, tuple[Any, bool, bool]] = {}  # subscription, reliable, latched
        self._known: dict[str, tuple[str, tuple]] = {}
        self._refused: set[str] = set()

    def known(self) -> dict[str, tuple[str, tuple]]:
        """Topic → (type, QoS its publishers offer, as a bag stores it) of everything subscribed."""
        return dict(self._known)

    def refresh(self) -> None:
        """Subscribe to what has appeared, and anew where a publisher offers less than was asked for."""
        topics = self._wanted
        if self._everything:
            topics = [*topics, *(name for name, _ in self._node.get_topic_names_and_types())]
        for topic in dict.fromkeys(topics):
            if topic in self._own or topic in self._refused:
                continue
            if offers := self._node.get_publishers_info_by_topic(topic):
                self._follow(topic, offers)

    def _follow(self, topic: str, offers: list) -> None:
        reliable = all(o.qos_profile.reliability == ros.ReliabilityPolicy.RELIABLE for o in offers)
        latched = all(o.qos_profile.durability == ros.DurabilityPolicy.TRANSIENT_LOCAL for o in offers)
        if topic in self._subscriptions:
            subscription, had_reliable, had_latched = self._subscriptions[topic]
            if (not had_reliable or reliable) and (not had_latched or latched):
                return
            self._node.destroy_subscription(subscription)
            reliable, latched = reliable and had_reliable, latched and had_latched
        type = self._types.get(topic, offers[0].topic_type)
        others = {offer.topic_type for offer in offers} - {type}
        if others:
            self._refuse(topic, f"it is {', '.join(sorted(others))}, expected {type}")
            return
        self._subscribe(topic, type, offers, reliable, latched)

    def _subscribe(self, topic: str, type: str, offers: list, reliable: bool, latched: bool) -> None:
        try:
            message = ros.message(type)
            ros.definition(type)
        except Exception as error:  # a type this machine does not know
            self._refuse(topic, str(error))
            return
        stamped = next(iter(message.get_fields_and_field_types().values()), "") == "std_msgs/Header"
        if topic not in self._known:
            self._known[topic] = (type, tuple(_profile(offer.qos_profile) for offer in offers))
            self._node.new_topic(topic, *self._known[topic])

        def receive(data: bytes, info: dict) -> None:
            self._receive(topic, bytes(data), int(info["source_timestamp"]), latched, stamped)

        subscription = self._node.create_subscription(message, topic, receive, _request(reliable, latched), raw=True)
        self._subscriptions[topic] = (subscription, reliable, latched)

    def _refuse(self, topic: str, reason: str) -> None:
        self._refused.add(topic)
        self._node.get_logger().error(f"topic {topic} is not recorded: {reason}")


def _request(reliable: bool, latched: bool) -> Any:
    return ros.QoSProfile(
        depth=DEPTH,
        reliability=ros.ReliabilityPolicy.RELIABLE if reliable else ros.ReliabilityPolicy.BEST_EFFORT,
        durability=ros.DurabilityPolicy.TRANSIENT_LOCAL if latched else ros.DurabilityPolicy.VOLATILE,
    )


def _profile(profile: Any) -> dict:
    """A publisher's QoS as a bag stores it. Discovery does not tell the depth: rosbag2 stores what it is told, too."""
    return qos_profile(
        depth=max(int(profile.depth or 0), 1) if profile.depth else 10,
        reliable=profile.reliability == ros.ReliabilityPolicy.RELIABLE,
        latched=profile.durability == ros.DurabilityPolicy.TRANSIENT_LOCAL,
    )
