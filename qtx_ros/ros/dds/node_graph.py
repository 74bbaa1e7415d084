"""What a node can ask about the rest of the graph."""

from __future__ import annotations

import time

from qtx_ros.ros.dds.graph import TopicEndpointInfo, TopicEndpointTypeEnum
from qtx_ros.ros.dds.names import fully_qualified

NamesAndTypes = list[tuple[str, list[str]]]


class NodeGraph:
    """Mixin of Node: graph queries."""

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        return self.participant.graph.nodes()

    def get_node_names(self) -> list[str]:
        return [name for name, _ in self.get_node_names_and_namespaces()]

    def get_fully_qualified_node_names(self) -> list[str]:
        return [fully_qualified(*node) for node in self.get_node_names_and_namespaces()]

    def get_topic_names_and_types(self, no_demangle: bool = False) -> NamesAndTypes:
        return self.participant.graph.topics()

    def get_service_names_and_types(self) -> NamesAndTypes:
        return self.participant.graph.services()

    def get_publisher_names_and_types_by_node(self, node_name: str, node_namespace: str) -> NamesAndTypes:
        return self.participant.graph.names_and_types_of_node(node_name, node_namespace, "publishers")

    def get_subscriber_names_and_types_by_node(self, node_name: str, node_namespace: str) -> NamesAndTypes:
        return self.participant.graph.names_and_types_of_node(node_name, node_namespace, "subscribers")

    def get_service_names_and_types_by_node(self, node_name: str, node_namespace: str) -> NamesAndTypes:
        return self.participant.graph.names_and_types_of_node(node_name, node_namespace, "services")

    def get_client_names_and_types_by_node(self, node_name: str, node_namespace: str) -> NamesAndTypes:
        return self.participant.graph.names_and_types_of_node(node_name, node_namespace, "clients")

    def count_publishers(self, topic_name: str) -> int:
        return len(self.get_publishers_info_by_topic(topic_name))

    def count_subscribers(self, topic_name: str) -> int:
        return len(self.get_subscriptions_info_by_topic(topic_name))

    def count_services(self, service_name: str) -> int:
        full = self.resolve_service_name(service_name)
        return len(self.participant.graph.readers(f"rq{full}Request"))

    def count_clients(self, service_name: str) -> int:
        full = self.resolve_service_name(service_name)
        return len(self.participant.graph.writers(f"rq{full}Request"))

    def get_publishers_info_by_topic(self, topic_name: str, no_mangle: bool = False) -> list[TopicEndpointInfo]:
        return self._infos(topic_name, no_mangle, TopicEndpointTypeEnum.PUBLISHER)

    def get_subscriptions_info_by_topic(self, topic_name: str, no_mangle: bool = False) -> list[TopicEndpointInfo]:
        return self._infos(topic_name, no_mangle, TopicEndpointTypeEnum.SUBSCRIPTION)

    def wait_for_node(self, fully_qualified_node_name: str, timeout: float) -> bool:
        """Wait until a node is there [s]; whether it is."""
        deadline = time.monotonic() + timeout
        while self.context.ok() and time.monotonic() < deadline:
            if fully_qualified_node_name in self.get_fully_qualified_node_names():
                return True
            time.sleep(0.05)
        return fully_qualified_node_name in self.get_fully_qualified_node_names()

    def _infos(self, topic: str, no_mangle: bool, kind: TopicEndpointTypeEnum) -> list[TopicEndpointInfo]:
        channel = topic if no_mangle else f"rt{self.resolve_topic_name(topic)}"
        return self.participant.graph.endpoint_infos(channel, kind)
