"""The six services by which `ros2 param` and other nodes reach a node's parameters."""

from __future__ import annotations

from typing import Any

from qtx_ros.ros.dds.exceptions import ParameterNotDeclaredException, ParameterUninitializedException
from qtx_ros.ros.dds.parameter import Parameter
from qtx_ros.ros.dds.parameter_rules import result
from qtx_ros.ros.dds.qos import qos_profile_parameters
from qtx_ros.ros.messages import service


class ParameterServices:
    """Offers `~/get_parameters` and its five siblings for a node."""

    def __init__(self, node) -> None:
        self._node = node
        table = {
            "DescribeParameters": ("describe_parameters", self._describe),
            "GetParameters": ("get_parameters", self._get),
            "GetParameterTypes": ("get_parameter_types", self._types),
            "ListParameters": ("list_parameters", self._list),
            "SetParameters": ("set_parameters", self._set),
            "SetParametersAtomically": ("set_parameters_atomically", self._set_atomically),
        }
        for kind, (name, callback) in table.items():
            srv = service(f"rcl_interfaces/srv/{kind}")
            node.create_service(srv, f"~/{name}", callback, qos_profile=qos_profile_parameters)

    def _describe(self, request: Any, response: Any) -> Any:
        try:
            response.descriptors = self._node.describe_parameters(list(request.names))
        except ParameterNotDeclaredException:
            response.descriptors = []
        return response

    def _get(self, request: Any, response: Any) -> Any:
        try:
            response.values = [p.get_parameter_value() for p in self._node.get_parameters(list(request.names))]
        except (ParameterNotDeclaredException, ParameterUninitializedException):
            response.values = []
        return response

    def _types(self, request: Any, response: Any) -> Any:
        try:
            response.types = [self._node.get_parameter_type(name).value for name in request.names]
        except ParameterNotDeclaredException:
            response.types = []
        return response

    def _list(self, request: Any, response: Any) -> Any:
        response.result = self._node.list_parameters(list(request.prefixes), request.depth)
        return response

    def _set(self, request: Any, response: Any) -> Any:
        response.results = [self._try([Parameter.from_parameter_msg(p)]) for p in request.parameters]
        return response

    def _set_atomically(self, request: Any, response: Any) -> Any:
        response.result = self._try([Parameter.from_parameter_msg(p) for p in request.parameters])
        return response

    def _try(self, parameters: list[Parameter]) -> Any:
        try:
            return self._node.set_parameters_atomically(parameters)
        except ParameterNotDeclaredException as error:
            return result(str(error))
