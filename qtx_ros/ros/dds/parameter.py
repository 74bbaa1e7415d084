"""rclpy's Parameter: a name, a type, a value."""

from __future__ import annotations

import array
from enum import Enum
from typing import Any

import numpy as np

from qtx_ros.ros.messages import message

FIELDS = (
    None, "bool_value", "integer_value", "double_value", "string_value", "byte_array_value", "bool_array_value",
    "integer_array_value", "double_array_value", "string_array_value",
)  # fmt: skip
ITEMS = {bytes: 5, bool: 6, int: 7, float: 8, str: 9}
SCALARS = {bool: 1, int: 2, float: 3, str: 4}
SEQUENCES = (list, tuple, array.array)


class Parameter:
    """One parameter of a node; the type follows from the value unless it is given."""

    class Type(Enum):
        NOT_SET = 0
        BOOL = 1
        INTEGER = 2
        DOUBLE = 3
        STRING = 4
        BYTE_ARRAY = 5
        BOOL_ARRAY = 6
        INTEGER_ARRAY = 7
        DOUBLE_ARRAY = 8
        STRING_ARRAY = 9

        @classmethod
        def from_parameter_value(cls, value: Any) -> Parameter.Type:
            """The type a value belongs to; an empty list counts as bytes, as in rclpy.

            Raises:
                TypeError: no parameter can hold it.
            """
            if value is None:
                return cls.NOT_SET
            if type(value) in SCALARS:
                return cls(SCALARS[type(value)])
            if isinstance(value, SEQUENCES):
                for item, number in ITEMS.items():
                    if all(isinstance(v, item) for v in value):
                        return cls(number)
            raise TypeError(f"{value!r} cannot be a parameter: expected bool, int, float, str or a list of one of them")

        def check(self, value: Any) -> bool:
            """Whether the value is of this type."""
            if self is Parameter.Type.NOT_SET:
                return value is None
            if self.value < 5:
                kind = next(kind for kind, number in SCALARS.items() if number == self.value)
                return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
            kind = next(kind for kind, number in ITEMS.items() if number == self.value)
            return isinstance(value, SEQUENCES) and all(isinstance(v, kind) for v in value)

    def __init__(self, name: str, type_: Parameter.Type | None = None, value: Any = None) -> None:
        type_ = Parameter.Type.from_parameter_value(value) if type_ is None else type_
        if not isinstance(type_, Parameter.Type):
            raise TypeError(f"type of parameter {name!r} is {type_!r}, expected a Parameter.Type")
        if not type_.check(value):
            raise ValueError(f"Type '{type_}' and value '{value}' do not agree")
        self.name, self.type_, self.value = name, type_, value

    @classmethod
    def from_parameter_msg(cls, msg) -> Parameter:
        """From rcl_interfaces/msg/Parameter."""
        type_ = cls.Type(msg.value.type)
        return cls(msg.name, type_, value_of(msg.value))

    def get_parameter_value(self):
        """rcl_interfaces/msg/ParameterValue."""
        value = message("rcl_interfaces/msg/ParameterValue")(type=self.type_.value)
        if self.type_ is not Parameter.Type.NOT_SET:
            setattr(value, FIELDS[self.type_.value], self.value)
        return value

    def to_parameter_msg(self):
        """rcl_interfaces/msg/Parameter."""
        return message("rcl_interfaces/msg/Parameter")(name=self.name, value=self.get_parameter_value())

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {self.type_}, {self.value!r})"


def value_of(msg) -> Any:
    """The Python value in an rcl_interfaces/msg/ParameterValue."""
    if msg.type == Parameter.Type.NOT_SET.value:
        return None
    value = getattr(msg, FIELDS[msg.type])
    if msg.type == Parameter.Type.BYTE_ARRAY.value:
        return [bytes([v]) for v in value]
    return value.tolist() if isinstance(value, (np.ndarray, array.array)) else value


