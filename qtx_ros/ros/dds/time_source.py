"""Simulated time: the parameter `use_sim_time` and the topic `/clock`."""

from __future__ import annotations

from typing import Any

from qtx_ros.ros.dds.parameter import Parameter
from qtx_ros.ros.dds.parameter_rules import result
from qtx_ros.ros.dds.qos import qos_profile_clock
from qtx_ros.ros.dds.time import ROSClock, Time
from qtx_ros.ros.messages import message

PARAMETER = "use_sim_time"


class TimeSource:
    """Keeps a node's clock on `/clock` while `use_sim_time` is true."""

    def __init__(self, node, clock: ROSClock) -> None:
        self._node, self._clock, self._subscription = node, clock, None
        if not node.has_parameter(PARAMETER):
            node.declare_parameter(PARAMETER, False)
        self._switch(node.get_parameter(PARAMETER).value)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list[Parameter]) -> Any:
        for parameter in parameters:
            if parameter.name == PARAMETER:
                if parameter.type_ is not Parameter.Type.BOOL:
                    return result(f"{PARAMETER} is set to {parameter.value!r}, expected true or false")
                self._switch(parameter.value)
        return result()

    def _switch(self, simulated: bool) -> None:
        if simulated and self._subscription is None:
            self._clock.set_simulated(0)  # zero means: no clock message yet
            clock = message("rosgraph_msgs/msg/Clock")
            self._subscription = self._node.create_subscription(clock, "/clock", self._on_clock, qos_profile_clock)
        elif not simulated and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            self._clock.set_simulated(None)

    def _on_clock(self, msg: Any) -> None:
        self._clock.set_simulated(Time.from_msg(msg.clock).nanoseconds)
