"""Hearing a topic whatever its publishers offer: what people say to a robot must not be lost on quality of service.

A reliable subscription does not match a best-effort publisher, one that asks for latched messages does not match a
volatile one, and any other misses what was said before it began. So there are three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtx_ros import ros

EVERYBODY = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.BEST_EFFORT)  # matches every publisher
SURELY = ros.QoSProfile(depth=10)
LATCHED = ros.QoSProfile(depth=10, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)  # also what was said before


def hear_any(node: ros.Node, type: str, topic: str, callback: Callable, group: Any = None) -> list[Any]:
    """Subscriptions that together reach every publisher of that type; `callback(msg)` gets a message up to three times.

    Each publisher's messages come in its order. Where one does not match, nobody is warned: another does.
    """
    made = []
    for qos in (EVERYBODY, SURELY, LATCHED):
        quiet = ros.SubscriptionEventCallbacks(use_default_callbacks=False)
        made.append(
            node.create_subscription(
                ros.message(type), topic, callback, qos, callback_group=group, event_callbacks=quiet
            )
        )
    return made


def unheard(node: ros.Node, type: str, topic: str) -> str:
    """A sentence on publishers that `hear_any` cannot reach, those of another type; empty if there are none."""
    offers = [offer for offer in node.get_publishers_info_by_topic(topic) if offer.topic_type != type]
    if not offers:
        return ""
    who = " and ".join(dict.fromkeys(f"by node {offer.node_name!r} as {offer.topic_type}" for offer in offers))
    return f"{node.resolve_topic_name(topic)} is published {who}, which is not heard: expected {type}"
