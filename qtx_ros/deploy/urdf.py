"""Joint limits of a URDF, as on the topic `robot_description`."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Spec

LARGEST = 16 << 20  # bytes of XML that are looked at


@dataclass(frozen=True)
class JointLimits:
    """What a URDF says of one joint; infinite where it says nothing."""

    low: float = -math.inf  # [rad or m]
    high: float = math.inf
    velocity: float = math.inf  # [rad/s or m/s]


def joint_limits(text: str, names: Collection[str]) -> dict[str, JointLimits]:
    """The limits of those of the joints `names` that move, narrowed by a `safety_controller`; the others are not read.

    QtxError for what is no URDF.
    """
    if len(text) > LARGEST or "<!DOCTYPE" in text:
        raise QtxError(f"a URDF of {len(text)} characters with or without DOCTYPE is not read, expected plain XML")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise QtxError(f"the robot description is not XML: {error}") from None
    if root.tag != "robot":
        raise QtxError(f"the robot description is a <{root.tag}>, expected a URDF's <robot>")
    moving = [j for j in root.iter("joint") if j.get("type") in ("revolute", "prismatic", "continuous")]
    return {joint.get("name", ""): _limits(joint) for joint in moving if joint.get("name") in names}


def _limits(joint: ElementTree.Element) -> JointLimits:
    name, limit, soft = joint.get("name"), joint.find("limit"), joint.find("safety_controller")
    low, high = _number(name, limit, "lower", 0.0), _number(name, limit, "upper", 0.0)
    if joint.get("type") == "continuous" or limit is None:
        low, high = -math.inf, math.inf
    low = max(low, _number(name, soft, "soft_lower_limit", -math.inf))
    high = min(high, _number(name, soft, "soft_upper_limit", math.inf))
    return JointLimits(low, high, _number(name, limit, "velocity", math.inf) or math.inf)


def _number(joint: str | None, element: ElementTree.Element | None, key: str, default: float) -> float:
    text = None if element is None else element.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise QtxError(f"joint {joint!r} of the robot description has {key} {text!r}, expected a number")
    return value


def positioned(spec: Spec) -> set[str]:
    """The joints whose limits narrow those of the spec."""
    streams = [stream for stream in spec.commands if stream.interface == "position"]
    return {d.state_name for stream in streams for d in stream.dimensions}


def narrowed(spec: Spec, limits: Mapping[str, JointLimits]) -> Spec:
    """The spec with the limits of its position dimensions inside those of the joints of the same name (or reference).

    QtxError where the two exclude each other. The URDF's velocity counts only where the spec sets one, too: it is what
    the motor can do, not what a policy should.
    """
    streams = []
    for stream in spec.commands:
        dimensions = stream.dimensions
        if stream.interface == "position":
            dimensions = tuple(_narrow(d, limits.get(d.state_name)) for d in dimensions)
        streams.append(replace(stream, dimensions=dimensions))
    return replace(spec, commands=tuple(streams))


def _narrow(dimension: ActionDimension, joint: JointLimits | None) -> ActionDimension:
    if joint is None:
        return dimension
    low, high = dimension.limits or (-math.inf, math.inf)
    low, high = max(low, joint.low), min(high, joint.high)
    if not low < high:
        raise QtxError(
            f"action dimension {dimension.name!r} has limits {dimension.limits}, the robot description allows "
            f"{joint.low} to {joint.high}: nothing is left"
        )
    limits = (low, high) if math.isfinite(low) or math.isfinite(high) else None
    velocity = None if dimension.max_velocity is None else min(dimension.max_velocity, joint.velocity)
    return replace(dimension, limits=limits, max_velocity=velocity)
