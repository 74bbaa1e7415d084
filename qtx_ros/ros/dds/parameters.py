"""The parameters of a node, with rclpy's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtx_ros.ros.dds.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from qtx_ros.ros.dds.parameter import Parameter
from qtx_ros.ros.dds.parameter_rules import objection, result
from qtx_ros.ros.dds.qos import qos_profile_parameter_events
from qtx_ros.ros.messages import message


class Parameters:
    """Mixin of Node: declare, get, set, describe."""

    def _init_parameters(self, overrides: dict[str, Any], allow_undeclared: bool) -> None:
        self._parameters: dict[str, Parameter] = {}
        self._descriptors: dict[str, Any] = {}
        self._parameter_overrides = {name: Parameter(name, value=value) for name, value in overrides.items()}
        self._allow_undeclared_parameters = allow_undeclared
        self._pre_set_callbacks: list[Callable[[list[Parameter]], list[Parameter]]] = []
        self._on_set_callbacks: list[Callable[[list[Parameter]], Any]] = []
        self._post_set_callbacks: list[Callable[[list[Parameter]], None]] = []
        self._parameter_events = self.create_publisher(
            message("rcl_interfaces/msg/ParameterEvent"), "/parameter_events", qos_profile_parameter_events
        )

    def declare_parameter(
        self, name: str, value: Any = None, descriptor: Any = None, ignore_override: bool = False
    ) -> Parameter:
        """Declare a parameter with a default value, or a `Parameter.Type` for one without; overrides win.

        Raises:
            ParameterAlreadyDeclaredException, InvalidParameterException, InvalidParameterTypeException,
            InvalidParameterValueException, ValueError: as rclpy.
        """
        if not isinstance(name, str) or not name.strip():
            raise InvalidParameterException(name)
        if name in self._parameters:
            raise ParameterAlreadyDeclaredException([name])
        descriptor = descriptor or message("rcl_interfaces/msg/ParameterDescriptor")()
        if isinstance(value, Parameter.Type):
            if value is Parameter.Type.NOT_SET or descriptor.dynamic_typing:
                raise ValueError(f"parameter {name!r} cannot have both the type {value} and dynamic typing")
            descriptor.type, value = value.value, None
        elif not descriptor.dynamic_typing:
            descriptor.type = Parameter.Type.from_parameter_value(value).value
            if value is None:
                raise ValueError(f"parameter {name!r} needs a default value, a type or dynamic_typing")
        if not ignore_override and name in self._parameter_overrides:
            value = self._parameter_overrides[name].value
        parameter = Parameter(name, value=value)
        outcome = self._apply([parameter], {name: descriptor}, keep_unset=True)
        if not outcome.successful:
            if outcome.reason.startswith("Wrong parameter type"):
                raise InvalidParameterTypeException(parameter, Parameter.Type(descriptor.type).name)
            raise InvalidParameterValueException(name, value, outcome.reason)
        return self._parameters[name]

    def declare_parameters(
        self, namespace: str, parameters: list[tuple], ignore_override: bool = False
    ) -> list[Parameter]:
        """Declare (name, value, descriptor) tuples, names under `namespace`."""
        prefix = f"{namespace}." if namespace else ""
        return [self.declare_parameter(f"{prefix}{p[0]}", *p[1:3], ignore_override=ignore_override) for p in parameters]

    def undeclare_parameter(self, name: str) -> None:
        """Forget a parameter.

        Raises:
            ParameterNotDeclaredException, ParameterImmutableException: unknown, read-only.
        """
        if name not in self._parameters:
            raise ParameterNotDeclaredException(name)
        if self._descriptors[name].read_only:
            raise ParameterImmutableException(name)
        del self._parameters[name], self._descriptors[name]

    def has_parameter(self, name: str) -> bool:
        return name in self._parameters

    def get_parameter(self, name: str) -> Parameter:
        """A declared parameter.

        Raises:
            ParameterNotDeclaredException, ParameterUninitializedException: unknown, or declared without a value.
        """
        if name not in self._parameters:
            if self._allow_undeclared_parameters:
                return Parameter(name)
            raise ParameterNotDeclaredException(name)
        parameter = self._parameters[name]
        if parameter.type_ is Parameter.Type.NOT_SET and not self._descriptors[name].dynamic_typing:
            raise ParameterUninitializedException(name)
        return parameter

    def get_parameters(self, names: list[str]) -> list[Parameter]:
        return [self.get_parameter(name) for name in names]

    def get_parameter_or(self, name: str, alternative_value: Parameter | None = None) -> Parameter:
        """The parameter, or the alternative if it is not set."""
        return self._parameters.get(name) or alternative_value or Parameter(name)

    def get_parameter_type(self, name: str) -> Parameter.Type:
        if name not in self._parameters and not self._allow_undeclared_parameters:
            raise ParameterNotDeclaredException(name)
        return self.get_parameter_or(name).type_

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        """The parameters under `prefix.`, keyed by what follows it."""
        start = f"{prefix}." if prefix else ""
        return {name[len(start) :]: p for name, p in self._parameters.items() if name.startswith(start)}

    def set_parameters(self, parameter_list: list[Parameter]) -> list[Any]:
        """Set one after the other; one SetParametersResult each.

        Raises:
            ParameterNotDeclaredException: one is not declared (those before it are set).
        """
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> Any:
        """Set all or none; SetParametersResult.

        Raises:
            ParameterNotDeclaredException: one is not declared.
        """
        for callback in self._pre_set_callbacks:
            parameter_list = callback(parameter_list)
        if not parameter_list:
            return result("parameter list cannot be empty, this might be due to pre_set_parameters_callback")
        undeclared = [p.name for p in parameter_list if p.name not in self._parameters]
        if undeclared and not self._allow_undeclared_parameters:
            raise ParameterNotDeclaredException(undeclared)
        return self._apply(parameter_list, None, keep_unset=False)

    def describe_parameter(self, name: str) -> Any:
        """The ParameterDescriptor.

        Raises:
            ParameterNotDeclaredException: unknown.
        """
        if name not in self._descriptors:
            if self._allow_undeclared_parameters:
                return message("rcl_interfaces/msg/ParameterDescriptor")(name=name)
            raise ParameterNotDeclaredException(name)
        return self._descriptors[name]

    def describe_parameters(self, names: list[str]) -> list[Any]:
        return [self.describe_parameter(name) for name in names]

    def list_parameters(self, prefixes: list[str], depth: int) -> Any:
        """ListParametersResult: names under the prefixes, at most `depth` levels below (0: all)."""
        listed = message("rcl_interfaces/msg/ListParametersResult")()
        for name in self._parameters:
            if any(_under(name, prefix, depth) for prefix in prefixes or [""]):
                listed.names.append(name)
                parent = name.rpartition(".")[0]
                if parent and parent not in listed.prefixes:
                    listed.prefixes.append(parent)
        return listed

    def add_pre_set_parameters_callback(self, callback: Callable[[list[Parameter]], list[Parameter]]) -> None:
        """Let `callback` change what is about to be set."""
        self._pre_set_callbacks.insert(0, callback)

    def add_on_set_parameters_callback(self, callback: Callable[[list[Parameter]], Any]) -> None:
        """Let `callback` refuse: it returns a SetParametersResult."""
        self._on_set_callbacks.insert(0, callback)

    def add_post_set_parameters_callback(self, callback: Callable[[list[Parameter]], None]) -> None:
        """Tell `callback` what was set."""
        self._post_set_callbacks.insert(0, callback)

    def remove_pre_set_parameters_callback(self, callback: Callable) -> None:
        self._pre_set_callbacks.remove(callback)

    def remove_on_set_parameters_callback(self, callback: Callable) -> None:
        self._on_set_callbacks.remove(callback)

    def remove_post_set_parameters_callback(self, callback: Callable) -> None:
        self._post_set_callbacks.remove(callback)

    def _apply(self, parameters: list[Parameter], descriptors: dict[str, Any] | None, keep_unset: bool) -> Any:
        """Check against descriptors and callbacks, then store and announce; `descriptors`: new ones, when declaring."""
        for parameter in parameters:
            descriptor = (descriptors or self._descriptors).get(parameter.name)
            if descriptor is not None:
                descriptor.name = parameter.name
                declared = parameter.name in self._parameters
                if reason := objection(parameter, descriptor, declared, check_read_only=descriptors is None):
                    return result(reason)
        for callback in self._on_set_callbacks:
            outcome = callback(parameters)
            if not outcome.successful:
                return outcome
        self._store(parameters, descriptors or {}, keep_unset)
        for callback in self._post_set_callbacks:
            callback(parameters)
        return result()

    def _store(self, parameters: list[Parameter], descriptors: dict[str, Any], keep_unset: bool) -> None:
        event = message("rcl_interfaces/msg/ParameterEvent")(node=self.get_fully_qualified_name())
        for parameter in parameters:
            name = parameter.name
            if parameter.type_ is Parameter.Type.NOT_SET and not keep_unset:
                event.deleted_parameters.append(parameter.to_parameter_msg())
                self._parameters.pop(name, None)
                self._descriptors.pop(name, None)
                continue
            known = self.get_parameter_or(name).type_ is not Parameter.Type.NOT_SET
            (event.changed_parameters if known else event.new_parameters).append(parameter.to_parameter_msg())
            dynamic = message("rcl_interfaces/msg/ParameterDescriptor")(
                name=name, type=parameter.type_.value, dynamic_typing=True
            )
            self._descriptors[name] = descriptors.get(name) or self._descriptors.get(name) or dynamic
            self._parameters[name] = parameter
        event.stamp = self.get_clock().now().to_msg()
        if self.context.ok():
            self._parameter_events.publish(event)


def _under(name: str, prefix: str, depth: int) -> bool:
    """Whether a name is the prefix itself or lies at most `depth` levels below it (0: any)."""
    if prefix and name == prefix:
        return True
    if prefix and not name.startswith(prefix + "."):
        return False
    rest = name[len(prefix) + 1 :] if prefix else name
    return depth == 0 or rest.count(".") < depth
