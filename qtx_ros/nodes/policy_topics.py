"""The policy's topics: their quality of service, and why an input stays silent, as far as the ROS graph knows."""

from __future__ import annotations

from typing import Any

from qtx_ros import ros
from qtx_ros.deploy.safety import NO_INSTRUCTION
from qtx_ros.nodes import emergency_stop
from qtx_ros.nodes.any_publisher import unheard
from qtx_ros.spec import Spec

NEWEST = ros.QoSProfile(depth=1, reliability=ros.ReliabilityPolicy.BEST_EFFORT)  # cameras
RECENT = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.BEST_EFFORT)  # states
COMMAND = ros.QoSProfile(depth=1)
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)  # instruction


def explain(node, spec: Spec, qos: dict[str, Any], reason: str) -> str:
    """Sentences on inputs and people that cannot be heard, joined; empty when the graph shows nothing against them.

    `qos` maps each topic of the spec to the profile it is subscribed with. `reason` is why the robot is held: whether
    an instruction is missing.
    """
    streams = [*spec.cameras, *spec.states, *([spec.instruction] if NO_INSTRUCTION in reason else [])]
    sentences = []
    for stream in streams:
        offers = node.get_publishers_info_by_topic(stream.topic)
        sentences.append(mismatch(node.resolve_topic_name(stream.topic), stream.type, qos[stream.topic], offers))
    sentences.append(unheard(node, emergency_stop.TYPE, emergency_stop.TOPIC))
    sentences.append(unheard(node, spec.intervention.type, spec.intervention.topic))
    return "; ".join(filter(None, sentences))


def mismatch(topic: str, type: str, qos: Any, offers: list[Any]) -> str:
    """Why none of the `offers` (endpoint infos of `topic`) reaches a subscription; empty when one does."""
    reasons = [_against(type, qos, offer) for offer in offers]
    if not reasons:
        return f"nobody publishes {topic}"
    return "" if "" in reasons else f"{topic} is published {' and '.join(dict.fromkeys(reasons))}"


def _against(type: str, qos: Any, offer: Any) -> str:
    offered, who = offer.qos_profile, f"by node {offer.node_name!r}"
    if offer.topic_type != type:
        return f"{who} as {offer.topic_type}, the robot's file says {type}"
    reliable, latched = ros.ReliabilityPolicy.RELIABLE, ros.DurabilityPolicy.TRANSIENT_LOCAL
    if qos.reliability == reliable and offered.reliability != reliable:
        return f"{who} with reliability best effort, the policy asks for reliable"
    if qos.durability == latched and offered.durability != latched:
        return f"{who} with durability volatile, the policy asks for transient local"
    return ""
