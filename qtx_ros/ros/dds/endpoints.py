"""Raw CDR writers and readers, and the wait sets that tell when there is something to read."""

from __future__ import annotations

import ctypes as ct
import struct
from collections import Counter
from dataclasses import dataclass

import numpy as np

from qtx_ros.ros.dds import cyclone
from qtx_ros.ros.dds.exceptions import RCLError
from qtx_ros.ros.dds.layout import descriptor
from qtx_ros.ros.dds.qos import DdsQos, QoSProfile

OFFERED_INCOMPATIBLE, REQUESTED_INCOMPATIBLE = 1 << 3, 1 << 4
WAITSET_ROOM = 64


@dataclass(frozen=True)
class Sample:
    """One received message: CDR with encapsulation header, when it was written, and by whom."""

    data: bytes
    source_timestamp: int  # [ns]
    writer: int  # instance handle


@dataclass(frozen=True)
class Channel:
    """A DDS topic as ROS 2 uses it."""

    topic: str  # with prefix: `rt/image`
    type: str  # ROS name of the message type
    user_data: str  # `typehash=…;` and the like
    header: bool = False  # the 16-byte service header precedes the message


class _Endpoint:
    """What writers and readers share: an entity, its GUID, its end."""

    status_mask = 0

    def __init__(self, participant: int, channel: Channel, profile: QoSProfile, ignore_local: bool = False) -> None:
        layout = descriptor(channel.type, channel.header)
        topic = cyclone.call("dds_create_topic", participant, ct.byref(layout), channel.topic.encode(), None, None)
        try:
            with DdsQos(profile, channel.user_data, ignore_local) as qos:
                self.entity = self._create(participant, topic, qos)
        finally:
            cyclone.library().dds_delete(topic)
        cyclone.call("dds_set_status_mask", self.entity, self.status_mask)
        self.channel, self.profile = channel, profile
        self.guid = cyclone.guid(self.entity)
        self._reported = 0

    def _create(self, participant: int, topic: int, qos: int) -> int:
        raise NotImplementedError

    def _incompatible(self, function: str) -> cyclone.IncompatibleQos | None:
        """The status if another incompatible endpoint was discovered since the last call."""
        status = cyclone.IncompatibleQos()
        if getattr(cyclone.library(), function)(self.entity, ct.byref(status)) < 0:
            return None
        if status.total_count == self._reported:
            return None
        self._reported = status.total_count
        return status

    def close(self) -> None:
        cyclone.library().dds_delete(self.entity)


class Writer(_Endpoint):
    """Writes CDR."""

    status_mask = OFFERED_INCOMPATIBLE

    def _create(self, participant: int, topic: int, qos: int) -> int:
        entity = cyclone.call("dds_create_writer", participant, topic, qos, None)
        sertype = ct.c_void_p()
        cyclone.call("dds_get_entity_sertype", entity, ct.byref(sertype))
        self._sertype = sertype.value
        return entity

    def write(self, data: bytes | memoryview | np.ndarray) -> None:
        """Write one message: CDR with its 4-byte encapsulation header.

        Raises:
            RCLError: the bytes are not such a message, or the writer is gone.
        """
        buffer = np.frombuffer(data, np.uint8)
        vector = cyclone.IoVector(buffer.ctypes.data, buffer.size)
        lib = cyclone.library()
        serdata = lib.ddsi_serdata_from_ser_iov(self._sertype, cyclone.KIND_DATA, 1, ct.byref(vector), buffer.size)
        if not serdata:
            raise RCLError(f"{buffer.size} bytes published on {self.channel.topic!r} are not a {self.channel.type}")
        result = lib.dds_writecdr(self.entity, serdata)
        if result < 0:
            reason = lib.dds_strretcode(result).decode()
            raise RCLError(f"cannot publish on {self.channel.topic!r}: {reason}")

    def assert_liveliness(self) -> None:
        cyclone.call("dds_assert_liveliness", self.entity)

    def wait_for_acks(self, nanoseconds: int) -> bool:
        """Whether all reliable readers have everything within the time."""
        return cyclone.library().dds_wait_for_acks(self.entity, nanoseconds) == 0

    def matched(self) -> list[int]:
        """Instance handles of the readers this writer reaches."""
        return cyclone.matched(self.entity, "subscriptions")

    def incompatible_qos(self) -> cyclone.IncompatibleQos | None:
        return self._incompatible("dds_get_offered_incompatible_qos_status")


class Reader(_Endpoint):
    """Takes CDR, one message at a time; `condition` is what a wait set waits for."""

    status_mask = REQUESTED_INCOMPATIBLE

    def _create(self, participant: int, topic: int, qos: int) -> int:
        entity = cyclone.call("dds_create_reader", participant, topic, qos, None)
        self.condition = cyclone.call("dds_create_readcondition", entity, cyclone.ANY_STATE)
        self.taken: Counter[int] = Counter()  # messages of each writer, by its instance handle
        self._guids: dict[int, str] = {}
        return entity

    def take(self) -> Sample | None:
        """The oldest message waiting, or None."""
        lib, serdata, info = cyclone.library(), ct.c_void_p(), cyclone.SampleInfo()
        while lib.dds_takecdr(self.entity, ct.byref(serdata), 1, ct.byref(info), cyclone.ANY_STATE) == 1:
            try:
                if info.valid_data:
                    self.taken[info.publication_handle] += 1
                    return Sample(_bytes(serdata), info.source_timestamp, info.publication_handle)
            finally:
                lib.ddsi_serdata_unref(serdata)
                serdata = ct.c_void_p()
        return None

    def matched(self) -> list[int]:
        """Instance handles of the writers this reader hears."""
        return cyclone.matched(self.entity, "publications")

    def incompatible_qos(self) -> cyclone.IncompatibleQos | None:
        return self._incompatible("dds_get_requested_incompatible_qos_status")

    def is_waiting(self) -> bool:
        """Whether messages wait to be taken."""
        return cyclone.library().dds_triggered(self.condition) > 0

    def writer_guid(self, handle: int) -> str:
        """The GUID of a matched writer as four hexadecimal numbers; empty when it is gone."""
        if handle not in self._guids:
            lib = cyclone.library()
            endpoint = lib.dds_get_matched_publication_data(self.entity, handle)
            if not endpoint:
                return ""
            self._guids[handle] = ":".join(f"{part:x}" for part in struct.unpack(">4I", bytes(endpoint.contents.key)))
            lib.dds_builtintopic_free_endpoint(endpoint)
        return self._guids[handle]


def _bytes(serdata: ct.c_void_p) -> bytes:
    """The CDR of received data, copied once."""
    lib, vector = cyclone.library(), cyclone.IoVector()
    reference = lib.ddsi_serdata_to_ser_ref(serdata, 0, lib.ddsi_serdata_size(serdata), ct.byref(vector))
    try:
        return ct.string_at(vector.base, vector.length)
    finally:
        lib.ddsi_serdata_to_ser_unref(reference, ct.byref(vector))


class Guard:
    """A condition that code sets to wake a wait set."""

    def __init__(self, participant: int) -> None:
        self.entity = cyclone.call("dds_create_guardcondition", participant)

    def trigger(self) -> None:
        cyclone.library().dds_set_guardcondition(self.entity, True)

    def reset(self) -> None:
        cyclone.library().dds_take_guardcondition(self.entity, ct.byref(ct.c_bool()))

    def close(self) -> None:
        cyclone.library().dds_delete(self.entity)


class WaitSet:
    """Waits, without the GIL, for any of the attached conditions."""

    def __init__(self, participant: int) -> None:
        self._entity = cyclone.call("dds_create_waitset", participant)
        self._attached: set[int] = set()
        self._triggered = (ct.c_ssize_t * WAITSET_ROOM)()

    def attach(self, wanted: set[int]) -> None:
        """Wait for exactly these conditions from now on."""
        lib = cyclone.library()
        for condition in self._attached - wanted:
            lib.dds_waitset_detach(self._entity, condition)
        for condition in wanted - self._attached:
            lib.dds_waitset_attach(self._entity, condition, condition)
        self._attached = set(wanted)

    def wait(self, seconds: float | None) -> list[int]:
        """The conditions that are true, at most 64; empty after `seconds` (None: no limit)."""
        nanoseconds = cyclone.INFINITE if seconds is None else max(0, int(seconds * 1e9))
        count = cyclone.library().dds_waitset_wait(self._entity, self._triggered, WAITSET_ROOM, nanoseconds)
        return list(self._triggered[: min(max(count, 0), WAITSET_ROOM)])

    def close(self) -> None:
        cyclone.library().dds_delete(self._entity)
