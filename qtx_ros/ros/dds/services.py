"""Services and clients in rmw_cyclonedds's dialect: a 16-byte header (client, sequence number) precedes the payload."""

from __future__ import annotations

import itertools
import math
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from qtx_ros.ros.dds import cyclone
from qtx_ros.ros.dds.callback_groups import CallbackGroup
from qtx_ros.ros.dds.endpoints import Channel, Sample
from qtx_ros.ros.dds.qos import QoSProfile
from qtx_ros.ros.dds.task import Future
from qtx_ros.ros.definitions import type_hash
from qtx_ros.ros.messages import deserialize, encode

HEADER = struct.Struct("<Qq")
ENCAPSULATION = 4  # bytes
MATCH_SECONDS = 0.1  # a reply waits this long for its client's reader, as rmw_cyclonedds does


def _channels(name: str, srv: str, user_data: str) -> tuple[Channel, Channel]:
    """(request, reply)"""
    request, response = f"{srv}_Request", f"{srv}_Response"
    return (
        Channel(f"rq{name}Request", request, f"{user_data}typehash={type_hash(request)};", header=True),
        Channel(f"rr{name}Reply", response, f"{user_data}typehash={type_hash(response)};", header=True),
    )


def pack(client: int, sequence: int, msg: Any, name: str) -> bytes:
    """CDR with the header between the encapsulation and the payload."""
    data = encode(msg, name)
    return b"".join((data[:ENCAPSULATION], HEADER.pack(client, sequence), data[ENCAPSULATION:]))


def unpack(raw: bytes, name: str) -> tuple[int, int, Any]:
    """(client, sequence, message): inverse of `pack`."""
    client, sequence = HEADER.unpack_from(raw, ENCAPSULATION)
    return client, sequence, deserialize(raw[:ENCAPSULATION] + raw[ENCAPSULATION + HEADER.size :], name)


class Service:
    """Answers requests with `callback(request, response) -> response`."""

    def __init__(
        self, node, srv_type: type, name: str, callback: Callable, profile: QoSProfile, callback_group: CallbackGroup
    ) -> None:
        self.srv_type, self.srv_name = srv_type, name
        self.service_name = node.resolve_service_name(name)
        self.callback, self.callback_group, self._node = callback, callback_group, node
        identity = f"serviceid={node.participant.service_id()};"
        requests, replies = _channels(self.service_name, srv_type.__srvtype__, identity)
        self._reader = node.participant.reader(requests, profile)
        self._writer = node.participant.writer(replies, profile)
        self.condition = self._reader.condition
        node.participant.add_endpoints(node.get_fully_qualified_name(), self._reader, self._writer)

    def take(self) -> Callable[[], None] | None:
        sample = self._reader.take()
        return None if sample is None else lambda: self._answer(sample)

    def destroy(self) -> None:
        self._node.participant.remove_endpoints(self._node.get_fully_qualified_name(), self._reader, self._writer)

    def _answer(self, sample: Sample) -> None:
        client, sequence, request = unpack(sample.data, f"{self.srv_type.__srvtype__}_Request")
        response = self.callback(request, self.srv_type.Response())
        if not isinstance(response, self.srv_type.Response):
            raise TypeError(f"the callback of service {self.service_name} returned {response!r}, expected its Response")
        data = pack(client, sequence, response, f"{self.srv_type.__srvtype__}_Response")
        if self._wait_for_client(sample.writer) and self._node.context.ok():
            self._writer.write(data)

    def _wait_for_client(self, request_writer: int) -> bool:
        """Wait until the reply can reach the client; False if the client is gone or does not come."""
        deadline = time.monotonic() + MATCH_SECONDS
        while True:
            asked = cyclone.matched_user_data(self._reader.entity, "publication", request_writer)
            if asked is None:
                return False
            if "clientid" not in asked or asked["clientid"] in self._client_ids():
                return True
            if time.monotonic() > deadline:
                text = f"failed to send response to {self.service_name} (timeout): client will not receive response"
                self._node.get_logger().warning(text)
                return False
            time.sleep(0.01)

    def _client_ids(self) -> set[str]:
        data = (cyclone.matched_user_data(self._writer.entity, "subscription", h) for h in self._writer.matched())
        return {d["clientid"] for d in data if d and "clientid" in d}


class Client:
    """Asks a service; replies arrive as futures while some executor spins the node."""

    def __init__(self, node, srv_type: type, name: str, profile: QoSProfile, callback_group: CallbackGroup) -> None:
        self.srv_type, self.srv_name = srv_type, name
        self.service_name = node.resolve_service_name(name)
        self.callback_group, self._node = callback_group, node
        identity = f"clientid={node.participant.service_id()};"
        requests, replies = _channels(self.service_name, srv_type.__srvtype__, identity)
        self._writer = node.participant.writer(requests, profile)
        self._reader = node.participant.reader(replies, profile)
        self.condition = self._reader.condition
        self._identity = cyclone.instance_handle(self._writer.entity)
        self._sequence, self._lock = itertools.count(1), threading.Lock()
        self._pending: dict[int, Future] = {}
        node.participant.add_endpoints(node.get_fully_qualified_name(), self._reader, self._writer)

    def call_async(self, request: Any) -> Future:
        """Send a request; the future's result is the response.

        Raises:
            TypeError: not a request of this service.
        """
        if not isinstance(request, self.srv_type.Request):
            raise TypeError(f"cannot ask {self.service_name} with {type(request).__name__}, expected its Request")
        future = Future()
        with self._lock:
            sequence = next(self._sequence)
            self._pending[sequence] = future
        self._writer.write(pack(self._identity, sequence, request, f"{self.srv_type.__srvtype__}_Request"))
        return future

    def call(self, request: Any, timeout_sec: float | None = None) -> Any:
        """Ask and block; another thread must spin the node.

        Raises:
            TimeoutError: no reply in time, or nobody spins any more.
        """
        future = self.call_async(request)
        deadline = math.inf if timeout_sec is None else time.monotonic() + timeout_sec
        while not future.wait(max(0.0, min(0.1, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or not self._node.is_served():
                self.remove_pending_request(future)
                raise TimeoutError(f"service {self.service_name} did not answer (timeout {timeout_sec} s)")
        return future.result()

    def remove_pending_request(self, future: Future) -> None:
        """Forget a request that will not be waited for."""
        with self._lock:
            self._pending = {sequence: other for sequence, other in self._pending.items() if other is not future}

    def service_is_ready(self) -> bool:
        """Whether one service hears this client's requests and this client hears its replies."""
        asked = self._service_ids("subscription", self._writer)
        heard = self._service_ids("publication", self._reader)
        if not any(asked):
            return bool(asked and heard)
        return any(identifier and identifier in heard for identifier in asked)

    def wait_for_service(self, timeout_sec: float | None = None) -> bool:
        """Wait until the service is ready; whether it is."""
        deadline = None if timeout_sec is None or timeout_sec < 0 else time.monotonic() + timeout_sec
        while self._node.context.ok() and not self.service_is_ready():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return self._node.context.ok() and self.service_is_ready()

    def take(self) -> Callable[[], None] | None:
        sample = self._reader.take()
        return None if sample is None else lambda: self._receive(sample)

    def destroy(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
        for future in pending.values():
            future.cancel()
        self._node.participant.remove_endpoints(self._node.get_fully_qualified_name(), self._reader, self._writer)

    def _receive(self, sample: Sample) -> None:
        client, sequence = HEADER.unpack_from(sample.data, ENCAPSULATION)
        if client != self._identity:
            return
        with self._lock:
            future = self._pending.pop(sequence, None)
        if future:
            future.set_result(unpack(sample.data, f"{self.srv_type.__srvtype__}_Response")[2])

    @staticmethod
    def _service_ids(which: str, endpoint) -> list[str | None]:
        data = (cyclone.matched_user_data(endpoint.entity, which, handle) for handle in endpoint.matched())
        return [d.get("serviceid") for d in data if d is not None]
