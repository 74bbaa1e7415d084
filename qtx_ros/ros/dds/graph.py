"""Who is there: nodes, topics and services of the whole domain, as discovery knows them."""

from __future__ import annotations

import ctypes as ct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from qtx_ros.ros.dds import cyclone
from qtx_ros.ros.dds.endpoints import Reader
from qtx_ros.ros.dds.layout import ros_name
from qtx_ros.ros.dds.qos import QoSProfile, read_policies
from qtx_ros.ros.messages import deserialize

DISCOVERY_TYPE = "rmw_dds_common/msg/ParticipantEntitiesInfo"
MOST = 4096  # endpoints read at once


class TopicEndpointTypeEnum(IntEnum):
    INVALID = 0
    PUBLISHER = 1
    SUBSCRIPTION = 2


@dataclass(frozen=True)
class TopicEndpointInfo:
    """One publisher or subscription of a topic, as rclpy describes it."""

    node_name: str
    node_namespace: str
    topic_type: str
    topic_type_hash: str
    endpoint_type: TopicEndpointTypeEnum
    endpoint_gid: list[int]
    qos_profile: QoSProfile


@dataclass(frozen=True)
class Endpoint:
    """One DDS endpoint anywhere in the domain."""

    guid: bytes
    participant: bytes
    topic: str  # with prefix
    type: str  # DDS type name
    user_data: dict[str, str]
    profile: QoSProfile


class Graph:
    """Joins DDS discovery (endpoints) with `ros_discovery_info` (which node owns them)."""

    def __init__(self, participant: int, announcements: Reader) -> None:
        self._announcements = announcements
        self._lock = threading.Lock()
        self._participants: dict[bytes, Any] = {}
        self._own: Any = None
        topics = (cyclone.BUILTIN_PARTICIPANT, cyclone.BUILTIN_PUBLICATION, cyclone.BUILTIN_SUBSCRIPTION)
        readers = [cyclone.call("dds_create_reader", participant, topic, None, None) for topic in topics]
        self._participant_reader, self._writer_reader, self._reader_reader = readers

    @property
    def condition(self) -> int:
        return self._announcements.condition

    def update(self) -> None:
        """Take in what other participants announced."""
        while sample := self._announcements.take():
            info = deserialize(sample.data, DISCOVERY_TYPE)
            with self._lock:
                self._participants[_gid(info.gid)] = info

    def set_own(self, info: Any) -> None:
        with self._lock:
            self._own = info

    def nodes(self) -> list[tuple[str, str]]:
        """(name, namespace) of every node."""
        return [(node.node_name, node.node_namespace) for node in self._nodes()]

    def writers(self, topic: str | None = None) -> list[Endpoint]:
        """Writers of all topics or of one (with prefix)."""
        return [e for e in _endpoints(self._writer_reader) if topic is None or e.topic == topic]

    def readers(self, topic: str | None = None) -> list[Endpoint]:
        """Readers of all topics or of one (with prefix)."""
        return [e for e in _endpoints(self._reader_reader) if topic is None or e.topic == topic]

    def topics(self) -> list[tuple[str, list[str]]]:
        """(topic, type names) as ROS names them."""
        return _names_and_types([*self.writers(), *self.readers()], "rt", "")

    def services(self) -> list[tuple[str, list[str]]]:
        """(service, type names) of all services offered."""
        return _names_and_types(self.readers(), "rq", "Request")

    def of_node(self, node: str, namespace: str) -> tuple[list[Endpoint], list[Endpoint]]:
        """(writers, readers) of one node."""
        infos = [n for n in self._nodes() if (n.node_name, n.node_namespace) == (node, namespace)]
        written = {_gid(gid) for info in infos for gid in info.writer_gid_seq}
        read = {_gid(gid) for info in infos for gid in info.reader_gid_seq}
        return [e for e in self.writers() if e.guid in written], [e for e in self.readers() if e.guid in read]

    def names_and_types_of_node(self, node: str, namespace: str, what: str) -> list[tuple[str, list[str]]]:
        """(name, types) of a node's `publishers`, `subscribers`, `services` or `clients`."""
        writers, readers = self.of_node(node, namespace)
        if what in ("publishers", "subscribers"):
            return _names_and_types(writers if what == "publishers" else readers, "rt", "")
        return _names_and_types(readers if what == "services" else writers, "rq", "Request")

    def endpoint_infos(self, topic: str, kind: TopicEndpointTypeEnum) -> list[TopicEndpointInfo]:
        """Publishers or subscriptions of a topic (with prefix), and the nodes they belong to."""
        owners = {}
        for node in self._nodes():
            for gid in (*node.writer_gid_seq, *node.reader_gid_seq):
                owners[_gid(gid)] = (node.node_name, node.node_namespace)
        found = self.writers(topic) if kind == TopicEndpointTypeEnum.PUBLISHER else self.readers(topic)
        unknown = ("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_")
        return [
            TopicEndpointInfo(
                *owners.get(e.guid, unknown),
                topic_type=ros_name(e.type) or e.type,
                topic_type_hash=e.user_data.get("typehash", ""),
                endpoint_type=kind,
                endpoint_gid=list(e.guid),
                qos_profile=e.profile,
            )
            for e in found
        ]

    def _nodes(self) -> list[Any]:
        alive = {bytes(p.key) for p, _ in _alive(self._participant_reader, cyclone.BuiltinParticipant)}
        with self._lock:
            self._participants = {gid: info for gid, info in self._participants.items() if gid in alive}
            infos = [*self._participants.values(), *([self._own] if self._own else [])]
        return [node for info in infos for node in info.node_entities_info_seq]


def _gid(gid: Any) -> bytes:
    return bytes(gid.data)[:16]


def _endpoints(reader: int) -> list[Endpoint]:
    return [
        Endpoint(
            guid=bytes(e.key),
            participant=bytes(e.participant_key),
            topic=e.topic_name.decode(),
            type=e.type_name.decode(),
            user_data=cyclone.user_data(e.qos),
            profile=read_policies(e.qos),
        )
        for e, _ in _alive(reader, cyclone.BuiltinEndpoint)
    ]


def _alive(reader: int, kind: type) -> Iterator[tuple[Any, cyclone.SampleInfo]]:
    """The living instances of a built-in topic."""
    lib = cyclone.library()
    samples, infos = (ct.c_void_p * MOST)(), (cyclone.SampleInfo * MOST)()
    mask = cyclone.ANY_STATE & ~0x60  # neither disposed nor without writers
    count = lib.dds_read_mask(reader, samples, infos, MOST, MOST, mask)
    if count <= 0:
        return
    try:
        for i in range(count):
            if infos[i].valid_data:
                yield ct.cast(samples[i], ct.POINTER(kind)).contents, infos[i]
    finally:
        lib.dds_return_loan(reader, samples, count)


def _names_and_types(endpoints: list[Endpoint], prefix: str, suffix: str) -> list[tuple[str, list[str]]]:
    """Join endpoints by name, sorted; the service's type loses `_Request`."""
    found: dict[str, set[str]] = {}
    for endpoint in endpoints:
        head, _, name = endpoint.topic.partition("/")
        kind = ros_name(endpoint.type)
        if head != prefix or kind is None or not name.endswith(suffix):
            continue
        name = "/" + name[: len(name) - len(suffix)]
        found.setdefault(name, set()).add(kind.removesuffix(f"_{suffix}") if suffix else kind)
    return [(name, sorted(types)) for name, types in sorted(found.items())]
