"""rclpy's LifecycleNode: a managed node with its five services and `~/transition_event`."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtx_ros.ros.dds.callback_groups import CallbackGroup
from qtx_ros.ros.dds.exceptions import RCLError
from qtx_ros.ros.dds.node import Node
from qtx_ros.ros.dds.pubsub import Publisher
from qtx_ros.ros.dds.qos import QoSProfile
from qtx_ros.ros.dds.state_machine import STATES, TRANSITIONS, StateMachine, Transition, TransitionCallbackReturn
from qtx_ros.ros.messages import message, service

CALLBACKS = {
    10: "on_configure", 11: "on_cleanup", 12: "on_shutdown", 13: "on_activate", 14: "on_deactivate", 15: "on_error",
}  # fmt: skip
SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR


@dataclass(frozen=True)
class LifecycleState:
    """The state a transition came from."""

    label: str
    state_id: int


class ManagedEntity:
    """Something that follows its node's transitions; every callback succeeds unless overridden."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return SUCCESS


class LifecyclePublisher(ManagedEntity, Publisher):
    """Silent unless its node is active."""

    is_activated = False

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.is_activated = True
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.is_activated = False
        return SUCCESS

    def publish(self, msg: Any) -> None:
        """Publish if the node is active."""
        if self.is_activated:
            super().publish(msg)


class LifecycleNode(ManagedEntity, Node):
    """A managed node. Override the `on_…` callbacks, and call `super()` so that its publishers follow."""

    def __init__(self, node_name: str, *, enable_communication_interface: bool = True, **arguments) -> None:
        super().__init__(node_name, **arguments)
        self._machine = StateMachine()
        self._managed: list[ManagedEntity] = []
        self._transition_events: Publisher | None = None
        if enable_communication_interface:
            event = message("lifecycle_msgs/msg/TransitionEvent")
            self._transition_events = self.create_publisher(event, "~/transition_event", QoSProfile(depth=10))
            self._offer_services(self.default_callback_group)

    def add_managed_entity(self, entity: ManagedEntity) -> None:
        """Let an entity follow this node's transitions."""
        self._managed.append(entity)

    def create_lifecycle_publisher(
        self, msg_type: type, topic: str, qos_profile: QoSProfile | int, *, callback_group: CallbackGroup | None = None
    ) -> LifecyclePublisher:
        """A publisher that is silent unless this node is active."""
        publisher = self.create_publisher(msg_type, topic, qos_profile, publisher_class=LifecyclePublisher)
        self._managed.append(publisher)
        return publisher

    def destroy_lifecycle_publisher(self, publisher: LifecyclePublisher) -> bool:
        if publisher in self._managed:
            self._managed.remove(publisher)
        return self.destroy_publisher(publisher)

    def trigger_configure(self) -> TransitionCallbackReturn:
        return self._change(self._available("configure"))

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        return self._change(self._available("cleanup"))

    def trigger_activate(self) -> TransitionCallbackReturn:
        return self._change(self._available("activate"))

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        return self._change(self._available("deactivate"))

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        return self._change(self._available("shutdown"))

    def _available(self, label: str) -> Transition:
        transition = self._machine.find(label=label)
        if transition is None:
            raise RCLError(f"transition {label!r} is not possible in the state {self._machine.label!r}")
        return transition

    def _change(self, transition: Transition) -> TransitionCallbackReturn:
        """Go through a transition: the callback decides where it ends, an error goes to `on_error`."""
        before = LifecycleState(self._machine.label, self._machine.state)
        self._enter(transition)
        outcome = self._call(before)
        self._enter(self._machine.find(label=outcome.to_label()))
        if outcome is ERROR:
            self._enter(self._machine.find(label=self._call(before).to_label()))
        return outcome

    def _call(self, before: LifecycleState) -> TransitionCallbackReturn:
        name = CALLBACKS[self._machine.state]
        try:
            outcome = getattr(self, name)(before)
            if not isinstance(outcome, TransitionCallbackReturn):
                raise TypeError(f"{name}() returned {outcome!r}, expected a TransitionCallbackReturn")
            return outcome
        except Exception:
            self.get_logger().error(f"{name}() failed:\n{traceback.format_exc()}")
            return ERROR

    def _enter(self, transition: Transition) -> None:
        self._machine.state = transition.goal
        if self._transition_events and self.context.ok():
            event = self._transition_events.msg_type(
                timestamp=self.get_clock().now().nanoseconds,
                transition=_transition_msg(transition),
                start_state=_state_msg(transition.start),
                goal_state=_state_msg(transition.goal),
            )
            self._transition_events.publish(event)

    def _offer_services(self, group: CallbackGroup) -> None:
        describe = functools.partial(_describe, self._machine.available)
        whole = functools.partial(_describe, lambda: TRANSITIONS)
        table: dict[str, tuple[str, Callable]] = {
            "change_state": ("ChangeState", self._on_change_state),
            "get_state": ("GetState", self._on_get_state),
            "get_available_states": ("GetAvailableStates", _all_states),
            "get_available_transitions": ("GetAvailableTransitions", describe),
            "get_transition_graph": ("GetAvailableTransitions", whole),
        }
        for name, (kind, callback) in table.items():
            self.create_service(service(f"lifecycle_msgs/srv/{kind}"), f"~/{name}", callback, callback_group=group)

    def _on_change_state(self, request: Any, response: Any) -> Any:
        transition = self._machine.find(id=request.transition.id, label=request.transition.label)
        response.success = transition is not None and self._change(transition) is SUCCESS
        if transition is None:
            asked = request.transition.label or request.transition.id
            self.get_logger().warning(f"transition {asked} is not possible in the state {self._machine.label!r}")
        return response

    def _on_get_state(self, request: Any, response: Any) -> Any:
        response.current_state = _state_msg(self._machine.state)
        return response


def _follow(name: str) -> Callable[[LifecycleNode, LifecycleState], TransitionCallbackReturn]:
    """The node's own callback: every managed entity in turn, until one does not succeed."""

    def callback(self: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        for entity in self._managed:
            outcome = getattr(entity, name)(state)
            if outcome is not SUCCESS:
                return outcome
        return SUCCESS

    callback.__name__ = name
    return callback


for _name in CALLBACKS.values():
    setattr(LifecycleNode, _name, _follow(_name))


def _state_msg(number: int) -> Any:
    return message("lifecycle_msgs/msg/State")(id=number, label=STATES[number])


def _transition_msg(transition: Transition) -> Any:
    return message("lifecycle_msgs/msg/Transition")(id=transition.id, label=transition.label)


def _describe(transitions: Callable[[], Any], request: Any, response: Any) -> Any:
    description = message("lifecycle_msgs/msg/TransitionDescription")
    response.available_transitions = [
        description(transition=_transition_msg(t), start_state=_state_msg(t.start), goal_state=_state_msg(t.goal))
        for t in transitions()
    ]
    return response


def _all_states(request: Any, response: Any) -> Any:
    response.available_states = [_state_msg(number) for number in STATES]
    return response
