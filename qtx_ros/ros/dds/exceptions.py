"""rclpy's exceptions, with its names."""

from __future__ import annotations


class ExternalShutdownException(Exception):
    """The context was shut down while it was being spun."""

    def __init__(self) -> None:
        super().__init__("context is not valid, it was shut down")


class NotInitializedException(Exception):
    """`init()` was not called, or `shutdown()` was."""

    def __init__(self) -> None:
        super().__init__("context is not initialised: call ros.init() first")


class RCLError(RuntimeError):
    """An operation on the middleware failed."""


class NameValidationException(Exception):
    """A node, topic, namespace or parameter name breaks ROS 2's rules."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        super().__init__(f"Invalid {kind}: {reason}: {name!r}")


class InvalidTopicNameException(NameValidationException):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__("topic name", name, reason)


class InvalidServiceNameException(NameValidationException):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__("service name", name, reason)


class InvalidNodeNameException(NameValidationException):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__("node name", name, reason)


class InvalidNamespaceException(NameValidationException):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__("namespace", name, reason)


class ParameterException(Exception):
    """Base of the parameter errors."""

    def __init__(self, text: str, parameters: str | list[str]) -> None:
        super().__init__(f"{text}: {parameters}")


class ParameterNotDeclaredException(ParameterException):
    def __init__(self, parameters: str | list[str]) -> None:
        super().__init__("Invalid access to undeclared parameter(s)", parameters)


class ParameterAlreadyDeclaredException(ParameterException):
    def __init__(self, parameters: str | list[str]) -> None:
        super().__init__("Parameter(s) already declared", parameters)


class InvalidParameterException(ParameterException):
    def __init__(self, parameter: str) -> None:
        super().__init__("Invalid parameter name", parameter)


class InvalidParameterTypeException(ParameterException):
    def __init__(self, desired_parameter, expected_type: str) -> None:
        super().__init__(
            f"Trying to set parameter '{desired_parameter.name}' to '{desired_parameter.value}' of type "
            f"'{desired_parameter.type_.name}', expecting type '{expected_type}'",
            desired_parameter.name,
        )


class InvalidParameterValueException(ParameterException):
    def __init__(self, parameter: str, value, reason: str) -> None:
        super().__init__(f"Invalid parameter value ({value}) for parameter. Reason: {reason}", parameter)


class ParameterImmutableException(ParameterException):
    def __init__(self, parameter: str) -> None:
        super().__init__("Attempted to modify read-only parameter", parameter)


class ParameterUninitializedException(ParameterException):
    def __init__(self, parameter: str) -> None:
        super().__init__("The parameter is not initialized", parameter)
