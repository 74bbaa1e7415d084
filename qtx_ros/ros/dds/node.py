"""rclpy's Node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qtx_ros.ros.dds import logging
from qtx_ros.ros.dds.arguments import Arguments, parse
from qtx_ros.ros.dds.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from qtx_ros.ros.dds.context import Context, get_default_context
from qtx_ros.ros.dds.events import SubscriptionEventCallbacks
from qtx_ros.ros.dds.exceptions import NotInitializedException
from qtx_ros.ros.dds.guard_condition import GuardCondition
from qtx_ros.ros.dds.names import check_namespace, check_node_name, expand, fully_qualified
from qtx_ros.ros.dds.node_graph import NodeGraph
from qtx_ros.ros.dds.parameter import Parameter
from qtx_ros.ros.dds.parameter_services import ParameterServices
from qtx_ros.ros.dds.parameters import Parameters
from qtx_ros.ros.dds.pubsub import Publisher, Subscription
from qtx_ros.ros.dds.qos import QoSProfile, as_profile, qos_profile_rosout_default, qos_profile_services_default
from qtx_ros.ros.dds.services import Client, Service
from qtx_ros.ros.dds.time import SECOND, Clock, ROSClock, Time
from qtx_ros.ros.dds.time_source import TimeSource
from qtx_ros.ros.dds.timer import Rate, Timer
from qtx_ros.ros.messages import message


class Node(Parameters, NodeGraph):
    """A node of the ROS graph; arguments as in rclpy."""

    def __init__(
        self,
        node_name: str,
        *,
        context: Context | None = None,
        cli_args: Sequence[str] | None = None,
        namespace: str | None = None,
        use_global_arguments: bool = True,
        enable_rosout: bool = True,
        start_parameter_services: bool = True,
        parameter_overrides: Sequence[Parameter] | None = None,
        allow_undeclared_parameters: bool = False,
        automatically_declare_parameters_from_overrides: bool = False,
    ) -> None:
        self.context = context or get_default_context()
        if not self.context.ok():
            raise NotInitializedException()
        self.participant = self.context.participant
        self._arguments = _merged(self.context.arguments if use_global_arguments else Arguments(), cli_args)
        self._namespace = self._arguments.namespace(node_name, check_namespace(namespace or ""))
        self._name = self._arguments.node_name(check_node_name(node_name))
        self._destroyed = False
        self.executor = None
        self._clock = ROSClock()
        self._clock.on_change(self._wake)
        self.default_callback_group: CallbackGroup = MutuallyExclusiveCallbackGroup()
        self._timers: list[Timer] = []
        self._publishers: list[Publisher] = []
        self._entities: list[Subscription | Service | Client | GuardCondition] = []
        self.participant.add_node(self._name, self._namespace)
        self._logger = logging.get_logger(self.get_fully_qualified_name().strip("/").replace("/", "."))
        if enable_rosout and self._arguments.switches.get("rosout-logs", True):
            self._start_rosout()
        overrides = self._arguments.overrides(self.get_fully_qualified_name())
        overrides |= {parameter.name: parameter.value for parameter in parameter_overrides or ()}
        self._init_parameters(overrides, allow_undeclared_parameters)
        if automatically_declare_parameters_from_overrides:
            self.declare_parameters("", list(overrides.items()))
        self._time_source = TimeSource(self, self._clock)
        if start_parameter_services:
            self._parameter_services = ParameterServices(self)

    def get_name(self) -> str:
        return self._name

    def get_namespace(self) -> str:
        return self._namespace

    def get_fully_qualified_name(self) -> str:
        return fully_qualified(self._name, self._namespace)

    def get_logger(self) -> logging.RcutilsLogger:
        return self._logger

    def get_clock(self) -> Clock:
        return self._clock

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """The full name of a topic after remaps."""
        return self._resolve(topic, False, only_expand)

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """The full name of a service after remaps."""
        return self._resolve(service, True, only_expand)

    def create_publisher(
        self,
        msg_type: type,
        topic: str,
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        publisher_class: type[Publisher] = Publisher,
    ) -> Publisher:
        """A publisher of messages of a class from `message()`; it has no callbacks, so the group does not matter."""
        publisher = publisher_class(self, msg_type, topic, as_profile(qos_profile))
        self._publishers.append(publisher)
        return publisher

    def create_subscription(
        self,
        msg_type: type,
        topic: str,
        callback: Callable,
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        raw: bool = False,
    ) -> Subscription:
        """A subscription; `callback(msg)` or `callback(msg, info)`, with `raw` the message is CDR as bytes."""
        group, profile = callback_group or self.default_callback_group, as_profile(qos_profile)
        subscription = Subscription(self, msg_type, topic, callback, profile, group, raw, event_callbacks)
        for handler in subscription.event_handlers:
            self._added(handler)
        return self._added(subscription)

    def create_service(
        self,
        srv_type: type,
        srv_name: str,
        callback: Callable,
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Service:
        """A service; `callback(request, response) -> response`."""
        group = callback_group or self.default_callback_group
        return self._added(Service(self, srv_type, srv_name, callback, as_profile(qos_profile), group))

    def create_client(
        self,
        srv_type: type,
        srv_name: str,
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Client:
        """A client of a service."""
        group = callback_group or self.default_callback_group
        return self._added(Client(self, srv_type, srv_name, as_profile(qos_profile), group))

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[[], None],
        callback_group: CallbackGroup | None = None,
        clock: Clock | None = None,
        autostart: bool = True,
    ) -> Timer:
        """A timer on the node's clock (ROS time) or another one."""
        group = callback_group or self.default_callback_group
        timer = Timer(callback, group, int(timer_period_sec * SECOND), clock or self._clock)
        if not autostart:
            timer.cancel()
        self._timers.append(timer)
        self._wake()
        return timer

    def create_guard_condition(self, callback: Callable[[], None], callback_group: CallbackGroup | None = None):
        """A condition that other threads trigger to have `callback` run by the executor."""
        return self._added(GuardCondition(self, callback, callback_group or self.default_callback_group))

    def create_rate(self, frequency: float, clock: Clock | None = None) -> Rate:
        """A rate [Hz] to sleep at, in a thread that does not spin."""
        if frequency <= 0:
            raise ValueError(f"frequency is {frequency} Hz, expected more than 0")
        return Rate(int(SECOND / frequency), clock or self._clock, self.context)

    def destroy_publisher(self, publisher: Publisher) -> bool:
        return self._destroy(publisher, self._publishers)

    def destroy_subscription(self, subscription: Subscription) -> bool:
        for handler in subscription.event_handlers:
            self._destroy(handler, self._entities)
        return self._destroy(subscription, self._entities)

    def destroy_service(self, service: Service) -> bool:
        return self._destroy(service, self._entities)

    def destroy_client(self, client: Client) -> bool:
        return self._destroy(client, self._entities)

    def destroy_guard_condition(self, guard: GuardCondition) -> bool:
        return self._destroy(guard, self._entities)

    def destroy_timer(self, timer: Timer) -> bool:
        if timer not in self._timers:
            return False
        timer.cancel()
        self._timers.remove(timer)
        return True

    def destroy_node(self) -> None:
        """Leave the graph: all publishers, subscriptions, services, clients and timers end."""
        if self._destroyed:
            return
        self._destroyed = True
        if self.executor:
            self.executor.remove_node(self)
        logging.remove_sink(self._logger.name)
        for timer in list(self._timers):
            self.destroy_timer(timer)
        for entity in [*self._entities, *self._publishers]:
            entity.destroy()
        self._entities, self._publishers = [], []
        self.participant.remove_node(self._name, self._namespace)

    @property
    def timers(self) -> Iterator[Timer]:
        return iter(list(self._timers))

    @property
    def publishers(self) -> Iterator[Publisher]:
        return iter(list(self._publishers))

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        return (entity for entity in self.entities() if isinstance(entity, Subscription))

    @property
    def services(self) -> Iterator[Service]:
        return (entity for entity in self.entities() if isinstance(entity, Service))

    @property
    def clients(self) -> Iterator[Client]:
        return (entity for entity in self.entities() if isinstance(entity, Client))

    def entities(self) -> list[Subscription | Service | Client | GuardCondition]:
        """What an executor waits for, besides timers."""
        return self._entities

    def is_served(self) -> bool:
        """Whether callbacks of this node can still run: ROS is up and its executor was not shut down."""
        return self.context.ok() and not (self.executor and self.executor.is_shutdown)

    def _resolve(self, name: str, is_service: bool, only_expand: bool) -> str:
        full = expand(name, self._name, self._namespace, is_service)
        return full if only_expand else self._arguments.remap(full, self._name, self._namespace, is_service)

    def _added(self, entity):
        self._entities = [*self._entities, entity]
        self._wake()
        return entity

    def _destroy(self, entity, entities: list) -> bool:
        if entity not in entities:
            return False
        kept = [other for other in entities if other is not entity]
        if entities is self._publishers:
            self._publishers = kept
        else:
            self._entities = kept
        self._wake()
        entity.destroy()
        return True

    def _wake(self) -> None:
        if self.executor:
            self.executor.wake()

    def _start_rosout(self) -> None:
        log = message("rcl_interfaces/msg/Log")
        publisher = self.create_publisher(log, "/rosout", qos_profile_rosout_default)

        def publish(record: logging.Record) -> None:
            if self.context.ok():
                fields = {"level": record.level, "name": record.name, "msg": record.text, "line": record.line}
                stamp = Time(nanoseconds=record.stamp_ns).to_msg()
                publisher.publish(log(stamp=stamp, file=record.file, function=record.function, **fields))

        logging.add_sink(self._logger.name, publish)


def _merged(shared: Arguments, own: Sequence[str] | None) -> Arguments:
    """The process's arguments with the node's own before them."""
    if not own:
        return shared
    words = list(own) if "--ros-args" in own else ["--ros-args", *own]
    mine = parse(words)
    return Arguments(
        remaps=[*mine.remaps, *shared.remaps],
        parameters=[*shared.parameters, *mine.parameters],
        switches={**shared.switches, **mine.switches},
        enclave=shared.enclave,
    )
