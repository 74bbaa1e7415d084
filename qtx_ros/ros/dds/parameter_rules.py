"""What a descriptor allows a parameter to become."""

from __future__ import annotations

import math
from typing import Any

from qtx_ros.ros.dds.parameter import Parameter
from qtx_ros.ros.messages import message

TOLERANCE = 1e-6  # relative, for floating point ranges


def result(reason: str = "") -> Any:
    """rcl_interfaces/msg/SetParametersResult; successful without a reason."""
    return message("rcl_interfaces/msg/SetParametersResult")(successful=not reason, reason=reason)


def objection(parameter: Parameter, descriptor: Any, declared: bool, check_read_only: bool) -> str:
    """Why the descriptor does not allow this value; empty if it does. A dynamic type follows the value."""
    if check_read_only and descriptor.read_only:
        return f"Trying to set a read-only parameter: {parameter.name}."
    if descriptor.dynamic_typing:
        descriptor.type = parameter.type_.value
    elif parameter.type_ is Parameter.Type.NOT_SET:
        return "Static parameter cannot be undeclared" if declared else ""
    elif parameter.type_.value != descriptor.type:
        expected = Parameter.Type(descriptor.type)
        return f"Wrong parameter type, expected '{expected}' got '{parameter.type_}'"
    if parameter.type_ is Parameter.Type.INTEGER and len(descriptor.integer_range):
        return _integer_objection(parameter, descriptor.integer_range[0])
    if parameter.type_ is Parameter.Type.DOUBLE and len(descriptor.floating_point_range):
        return _double_objection(parameter, descriptor.floating_point_range[0])
    return ""


def _integer_objection(parameter: Parameter, allowed: Any) -> str:
    low, high = sorted((allowed.from_value, allowed.to_value))
    value = parameter.value
    if value in (low, high):
        return ""
    if not low < value < high:
        return f"Parameter {parameter.name} out of range. Min: {low}, Max: {high}, value: {value}"
    if allowed.step and (value - low) % allowed.step:
        return _step_text(parameter, low, high, allowed.step, "not a valid step")
    return ""


def _double_objection(parameter: Parameter, allowed: Any) -> str:
    low, high = sorted((allowed.from_value, allowed.to_value))
    value = parameter.value
    if any(math.isclose(value, edge, rel_tol=TOLERANCE) for edge in (low, high)):
        return ""
    if not low < value < high:
        return f"Parameter {parameter.name} out of range Min: {low}, Max: {high}, value: {value}"
    if allowed.step:
        nearest = low + round((value - low) / allowed.step) * allowed.step
        if not math.isclose(nearest, value, rel_tol=TOLERANCE):
            return _step_text(parameter, low, high, allowed.step, "not close enough to a valid step")
    return ""


def _step_text(parameter: Parameter, low: float, high: float, step: float, problem: str) -> str:
    return (
        f"The parameter value for {parameter.name} is {problem}. "
        f"Min: {low}, max: {high}, value: {parameter.value}, step: {step}"
    )
