"""Quality of service: rclpy's profiles, and their translation into DDS policies."""

from __future__ import annotations

import ctypes as ct
from dataclasses import dataclass, field, replace
from enum import IntEnum

from qtx_ros.ros.dds import cyclone
from qtx_ros.ros.dds.time import Duration

KEEP_ALL_LENGTH = -1
XCDR1 = (ct.c_int16 * 1)(0)
POLICY_NAMES = {2: "DURABILITY", 4: "DEADLINE", 8: "LIVELINESS", 11: "RELIABILITY", 13: "HISTORY"}


class HistoryPolicy(IntEnum):
    SYSTEM_DEFAULT = 0
    KEEP_LAST = 1
    KEEP_ALL = 2
    UNKNOWN = 3


class ReliabilityPolicy(IntEnum):
    SYSTEM_DEFAULT = 0
    RELIABLE = 1
    BEST_EFFORT = 2
    UNKNOWN = 3


class DurabilityPolicy(IntEnum):
    SYSTEM_DEFAULT = 0
    TRANSIENT_LOCAL = 1
    VOLATILE = 2
    UNKNOWN = 3


class LivelinessPolicy(IntEnum):
    SYSTEM_DEFAULT = 0
    AUTOMATIC = 1
    MANUAL_BY_TOPIC = 3
    UNKNOWN = 4


@dataclass
class QoSProfile:
    """rclpy's QoSProfile: `depth` alone means keep last `depth`, reliable, volatile; a zero duration: unspecified."""

    history: HistoryPolicy = HistoryPolicy.KEEP_LAST
    depth: int = 10
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
    lifespan: Duration = field(default_factory=Duration)
    deadline: Duration = field(default_factory=Duration)
    liveliness: LivelinessPolicy = LivelinessPolicy.SYSTEM_DEFAULT
    liveliness_lease_duration: Duration = field(default_factory=Duration)
    avoid_ros_namespace_conventions: bool = False

    def __post_init__(self) -> None:
        if self.depth < 0 or (self.history == HistoryPolicy.KEEP_LAST and self.depth < 1):
            raise ValueError(f"depth is {self.depth}, expected at least 1 for keep last")


qos_profile_default = QoSProfile()
qos_profile_system_default = QoSProfile()
qos_profile_sensor_data = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
qos_profile_services_default = QoSProfile(depth=10)
qos_profile_parameters = QoSProfile(depth=1000)
qos_profile_parameter_events = QoSProfile(depth=1000)
qos_profile_rosout_default = QoSProfile(
    depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(seconds=10)
)
qos_profile_clock = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
qos_profile_discovery = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def as_profile(qos: QoSProfile | int) -> QoSProfile:
    """A profile, or a depth, as rclpy takes them.

    Raises:
        TypeError: neither.
    """
    if isinstance(qos, QoSProfile):
        return replace(qos)
    if isinstance(qos, int) and not isinstance(qos, bool):
        return QoSProfile(depth=qos)
    raise TypeError(f"qos is {qos!r}, expected a QoSProfile or a depth")


class DdsQos:
    """A DDS QoS object for the lifetime of a `with` block."""

    def __init__(self, profile: QoSProfile | None, user_data: str, ignore_local: bool = False) -> None:
        self._profile, self._user_data, self._ignore_local = profile, user_data.encode(), ignore_local

    def __enter__(self) -> int:
        lib = cyclone.library()
        self._qos = lib.dds_create_qos()
        lib.dds_qset_userdata(self._qos, self._user_data, len(self._user_data))
        if self._profile:
            _set_policies(lib, self._qos, self._profile)
        if self._ignore_local:
            lib.dds_qset_ignorelocal(self._qos, 1)  # of this participant
        return self._qos

    def __exit__(self, *_) -> None:
        cyclone.library().dds_delete_qos(self._qos)


def _set_policies(lib: ct.CDLL, qos: int, profile: QoSProfile) -> None:
    lib.dds_qset_writer_data_lifecycle(qos, False)  # no dispose with the last sample
    lib.dds_qset_data_representation(qos, 1, XCDR1)
    keep_all = profile.history == HistoryPolicy.KEEP_ALL
    history, depth = (1, KEEP_ALL_LENGTH) if keep_all else (0, max(profile.depth, 1))
    lib.dds_qset_history(qos, history, depth)
    best_effort = profile.reliability == ReliabilityPolicy.BEST_EFFORT
    lib.dds_qset_reliability(qos, 0 if best_effort else 1, 0 if best_effort else cyclone.INFINITE)
    if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        lib.dds_qset_durability(qos, 1)
        lib.dds_qset_durability_service(qos, 0, history, depth, -1, -1, -1)  # what late joiners are given
    else:
        lib.dds_qset_durability(qos, 0)
    if profile.lifespan.nanoseconds:
        lib.dds_qset_lifespan(qos, profile.lifespan.nanoseconds)
    if profile.deadline.nanoseconds:
        lib.dds_qset_deadline(qos, profile.deadline.nanoseconds)
    manual = profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC
    lib.dds_qset_liveliness(qos, 2 if manual else 0, profile.liveliness_lease_duration.nanoseconds or cyclone.INFINITE)


def read_policies(qos: int) -> QoSProfile:
    """The profile in a DDS QoS object, as discovery delivers it."""
    lib, kind, depth, time = cyclone.library(), ct.c_int32(), ct.c_int32(), cyclone.TIME()
    profile = QoSProfile(history=HistoryPolicy.UNKNOWN, depth=0)
    if lib.dds_qget_history(qos, kind, depth):
        profile.history = HistoryPolicy.KEEP_ALL if kind.value else HistoryPolicy.KEEP_LAST
        profile.depth = max(depth.value, 0)
    if lib.dds_qget_reliability(qos, kind, time):
        profile.reliability = ReliabilityPolicy.RELIABLE if kind.value else ReliabilityPolicy.BEST_EFFORT
    if lib.dds_qget_durability(qos, kind):
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL if kind.value else DurabilityPolicy.VOLATILE
    if lib.dds_qget_lifespan(qos, time):
        profile.lifespan = Duration(nanoseconds=time.value)
    if lib.dds_qget_deadline(qos, time):
        profile.deadline = Duration(nanoseconds=time.value)
    if lib.dds_qget_liveliness(qos, kind, time):
        profile.liveliness = LivelinessPolicy.MANUAL_BY_TOPIC if kind.value == 2 else LivelinessPolicy.AUTOMATIC
        profile.liveliness_lease_duration = Duration(nanoseconds=time.value)
    return profile
