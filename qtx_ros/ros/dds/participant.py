"""One DDS participant: the presence of this process in the ROS graph."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from qtx_ros.errors import QtxError
from qtx_ros.ros.dds import cyclone, domain
from qtx_ros.ros.dds.endpoints import Channel, Guard, Reader, WaitSet, Writer
from qtx_ros.ros.dds.graph import Graph
from qtx_ros.ros.dds.losses import Losses
from qtx_ros.ros.dds.names import fully_qualified
from qtx_ros.ros.dds.qos import DdsQos, HistoryPolicy, QoSProfile, qos_profile_discovery
from qtx_ros.ros.definitions import type_hash
from qtx_ros.ros.messages import encode, message

DISCOVERY_TYPE = "rmw_dds_common/msg/ParticipantEntitiesInfo"
DISCOVERY_TOPIC = "ros_discovery_info"


OnIncompatible = Callable[[int], None] | None
OnLost = Callable[[int], None] | None


class Participant:
    """Joins a domain, announces its nodes and endpoints on `ros_discovery_info`, and hears those of others."""

    def __init__(self, domain_id: int, enclave: str = "/") -> None:
        self.domain_id, self.closed = domain_id, False
        self.entity, port = _create(domain_id, enclave)
        self._losses = None if port is None else Losses(port)
        self.guid = cyclone.guid(self.entity)
        self._lock = threading.RLock()
        self._nodes: dict[str, tuple[str, str, list[Writer], list[Reader]]] = {}
        self._service_ids = itertools.count(1)
        self._watched: dict[int, Callable[[], None]] = {}
        channel = Channel(DISCOVERY_TOPIC, DISCOVERY_TYPE, f"typehash={type_hash(DISCOVERY_TYPE)};")
        heard = QoSProfile(history=HistoryPolicy.KEEP_ALL, durability=qos_profile_discovery.durability)
        self._announcements = Writer(self.entity, channel, qos_profile_discovery)
        self.graph = Graph(self.entity, Reader(self.entity, channel, heard, ignore_local=True))
        self._guard = Guard(self.entity)
        self._monitor = threading.Thread(target=self._watch, name="dds-monitor", daemon=True)
        self._monitor.start()

    def writer(
        self, channel: Channel, profile: QoSProfile, on_incompatible: OnIncompatible = None
    ) -> Writer:
        """A writer; `on_incompatible(policy id)` is called for every reader that asks for more than it offers."""
        with self._lock:
            return self._watched_endpoint(Writer(self.entity, channel, profile), on_incompatible)

    def reader(
        self, channel: Channel, profile: QoSProfile, on_incompatible: OnIncompatible = None, on_lost: OnLost = None
    ) -> Reader:
        """A reader; `on_incompatible(policy id)` is called for every writer that offers less than it asks for,
        `on_lost(messages lost so far)` whenever that number grows."""
        with self._lock:
            reader = Reader(self.entity, channel, profile)
            if on_lost and self._losses:
                self._losses.watch(reader, on_lost)
            return self._watched_endpoint(reader, on_incompatible)

    def service_id(self) -> str:
        """A new identifier for a service or client, in rmw_cyclonedds's notation."""
        number = next(self._service_ids)
        identifier = self.guid[:12] + number.to_bytes(4, "big")
        return ".".join(f"{byte:x}" for byte in identifier)

    def add_node(self, name: str, namespace: str) -> None:
        with self._lock:
            self._nodes[fully_qualified(name, namespace)] = (name, namespace, [], [])
            self._announce()

    def remove_node(self, name: str, namespace: str) -> None:
        with self._lock:
            self._nodes.pop(fully_qualified(name, namespace), None)
            self._announce()

    def add_endpoints(self, node: str, *endpoints: Writer | Reader) -> None:
        """Announce endpoints as those of the node with this full name."""
        with self._lock:
            _, _, writers, readers = self._nodes[node]
            for endpoint in endpoints:
                (writers if isinstance(endpoint, Writer) else readers).append(endpoint)
            self._announce()

    def remove_endpoints(self, node: str, *endpoints: Writer | Reader) -> None:
        """Delete endpoints and announce the rest."""
        with self._lock:
            for endpoint in endpoints:
                self._watched.pop(endpoint.entity, None)
                if self._losses:
                    self._losses.forget(endpoint)
                if not self.closed:
                    endpoint.close()
            if node in self._nodes:
                for kept in self._nodes[node][2:]:
                    kept[:] = [endpoint for endpoint in kept if endpoint not in endpoints]
            self._announce()

    def close(self) -> None:
        """Leave the domain: peers are told at once."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        if self._losses:
            self._losses.close()
        self._guard.trigger()
        if threading.current_thread() is not self._monitor:
            self._monitor.join(1.0)
        cyclone.library().dds_delete(self.entity)
        domain.release(self.domain_id)

    def _watched_endpoint(self, endpoint, on_incompatible: OnIncompatible):
        def check() -> None:
            status = endpoint.incompatible_qos()
            if status:
                on_incompatible(status.last_policy_id)

        if on_incompatible:
            self._watched[endpoint.entity] = check
            self._guard.trigger()
        return endpoint

    def _announce(self) -> None:
        if self.closed:
            return
        gid = message("rmw_dds_common/msg/Gid")
        node_info = message("rmw_dds_common/msg/NodeEntitiesInfo")
        nodes = [
            node_info(
                node_namespace=namespace,
                node_name=name,
                reader_gid_seq=[gid(data=reader.guid) for reader in readers],
                writer_gid_seq=[gid(data=writer.guid) for writer in writers],
            )
            for name, namespace, writers, readers in self._nodes.values()
        ]
        info = message(DISCOVERY_TYPE)(gid=gid(data=self.guid), node_entities_info_seq=nodes)
        self._announcements.write(encode(info, DISCOVERY_TYPE))
        self.graph.set_own(info)

    def _watch(self) -> None:
        """The monitor thread: keeps the graph current and reports incompatible QoS."""
        waitset = WaitSet(self.entity)
        while not self.closed:
            with self._lock:
                watched = dict(self._watched)
            waitset.attach({self._guard.entity, self.graph.condition, *watched})
            for entity in waitset.wait(None):
                if self.closed:
                    return
                if entity == self._guard.entity:
                    self._guard.reset()
                elif entity == self.graph.condition:
                    self.graph.update()
                elif entity in watched:
                    watched[entity]()


def _create(domain_id: int, enclave: str) -> tuple[int, int | None]:
    """The participant entity, and the port of the domain's debug monitor.

    Raises:
        QtxError: Cyclone DDS refuses.
    """
    port = domain.acquire(domain_id)
    try:
        with DdsQos(None, f"enclave={enclave};") as qos:
            return cyclone.call("dds_create_participant", domain_id, qos, None), port
    except cyclone.DdsError as error:
        domain.release(domain_id)
        raise QtxError(f"cannot join ROS domain {domain_id}: {error}") from None
