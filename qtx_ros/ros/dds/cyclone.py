"""The part of Cyclone DDS's C interface that ROS 2 needs, called with ctypes, which lets go of the GIL."""

from __future__ import annotations

import ctypes as ct
import functools
import importlib.util
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from qtx_ros.errors import QtxError

ENTITY, HANDLE, POINTER, U32, TIME = ct.c_int32, ct.c_uint64, ct.c_void_p, ct.c_uint32, ct.c_int64
INFINITE = 2**63 - 1  # [ns]
ANY_STATE = 0x7F
ALIVE = 0x10  # instance state
NO_DATA, PRECONDITION_NOT_MET, ALREADY_DELETED = -11, -4, -9
BUILTIN_PARTICIPANT, BUILTIN_PUBLICATION, BUILTIN_SUBSCRIPTION = 0x7FFF0001, 0x7FFF0003, 0x7FFF0004
KIND_DATA = 2  # ddsi_serdata_kind SDK_DATA


class IoVector(ct.Structure):
    _fields_ = [("base", POINTER), ("length", ct.c_size_t)]


class SampleInfo(ct.Structure):
    _fields_ = [
        ("sample_state", U32),
        ("view_state", U32),
        ("instance_state", U32),
        ("valid_data", ct.c_bool),
        ("source_timestamp", TIME),
        ("instance_handle", HANDLE),
        ("publication_handle", HANDLE),
        ("disposed_generations", U32),
        ("no_writers_generations", U32),
        ("sample_rank", U32),
        ("generation_rank", U32),
        ("absolute_generation_rank", U32),
    ]


class Descriptor(ct.Structure):
    """dds_topic_descriptor_t."""

    _fields_ = [
        ("size", U32),
        ("align", U32),
        ("flags", U32),
        ("key_count", U32),
        ("typename", ct.c_char_p),
        ("keys", POINTER),
        ("operation_count", U32),
        ("operations", POINTER),
        ("meta", ct.c_char_p),
        ("type_information", POINTER),
        ("type_information_size", U32),
        ("type_mapping", POINTER),
        ("type_mapping_size", U32),
        ("data_representations", U32),
    ]


class IncompatibleQos(ct.Structure):
    """dds_offered_incompatible_qos_status_t and its requested twin."""

    _fields_ = [("total_count", U32), ("total_count_change", ct.c_int32), ("last_policy_id", U32)]


class BuiltinParticipant(ct.Structure):
    _fields_ = [("key", ct.c_ubyte * 16), ("qos", POINTER)]


class BuiltinEndpoint(ct.Structure):
    _fields_ = [
        ("key", ct.c_ubyte * 16),
        ("participant_key", ct.c_ubyte * 16),
        ("participant_handle", HANDLE),
        ("topic_name", ct.c_char_p),
        ("type_name", ct.c_char_p),
        ("qos", POINTER),
    ]


_ENTITIES, _INFOS, _POINTERS = ct.POINTER(ct.c_ssize_t), ct.POINTER(SampleInfo), ct.POINTER(POINTER)
_I32S, _I64S = ct.POINTER(ct.c_int32), ct.POINTER(TIME)
SIGNATURES = {
    "dds_create_domain": (ENTITY, U32, ct.c_char_p),
    "dds_create_participant": (ENTITY, U32, POINTER, POINTER),
    "dds_create_topic": (ENTITY, ENTITY, POINTER, ct.c_char_p, POINTER, POINTER),
    "dds_create_writer": (ENTITY, ENTITY, ENTITY, POINTER, POINTER),
    "dds_create_reader": (ENTITY, ENTITY, ENTITY, POINTER, POINTER),
    "dds_create_readcondition": (ENTITY, ENTITY, U32),
    "dds_create_guardcondition": (ENTITY, ENTITY),
    "dds_set_guardcondition": (ENTITY, ENTITY, ct.c_bool),
    "dds_take_guardcondition": (ENTITY, ENTITY, ct.POINTER(ct.c_bool)),
    "dds_create_waitset": (ENTITY, ENTITY),
    "dds_waitset_attach": (ENTITY, ENTITY, ENTITY, ct.c_ssize_t),
    "dds_waitset_detach": (ENTITY, ENTITY, ENTITY),
    "dds_waitset_wait": (ENTITY, ENTITY, _ENTITIES, ct.c_size_t, TIME),
    "dds_delete": (ENTITY, ENTITY),
    "dds_get_guid": (ENTITY, ENTITY, POINTER),
    "dds_get_instance_handle": (ENTITY, ENTITY, ct.POINTER(HANDLE)),
    "dds_get_entity_sertype": (ENTITY, ENTITY, _POINTERS),
    "ddsi_serdata_from_ser_iov": (POINTER, POINTER, ct.c_int, ct.c_size_t, ct.POINTER(IoVector), ct.c_size_t),
    "ddsi_serdata_size": (U32, POINTER),
    "ddsi_serdata_to_ser_ref": (POINTER, POINTER, ct.c_size_t, ct.c_size_t, ct.POINTER(IoVector)),
    "ddsi_serdata_to_ser_unref": (None, POINTER, ct.POINTER(IoVector)),
    "ddsi_serdata_unref": (None, POINTER),
    "dds_writecdr": (ENTITY, ENTITY, POINTER),
    "dds_takecdr": (ENTITY, ENTITY, _POINTERS, U32, _INFOS, U32),
    "dds_read": (ENTITY, ENTITY, _POINTERS, _INFOS, ct.c_size_t, U32),
    "dds_read_mask": (ENTITY, ENTITY, _POINTERS, _INFOS, ct.c_size_t, U32, U32),
    "dds_return_loan": (ENTITY, ENTITY, _POINTERS, ct.c_int32),
    "dds_get_matched_subscriptions": (ENTITY, ENTITY, ct.POINTER(HANDLE), ct.c_size_t),
    "dds_get_matched_publications": (ENTITY, ENTITY, ct.POINTER(HANDLE), ct.c_size_t),
    "dds_get_matched_subscription_data": (ct.POINTER(BuiltinEndpoint), ENTITY, HANDLE),
    "dds_get_matched_publication_data": (ct.POINTER(BuiltinEndpoint), ENTITY, HANDLE),
    "dds_builtintopic_free_endpoint": (None, POINTER),
    "dds_set_status_mask": (ENTITY, ENTITY, U32),
    "dds_get_offered_incompatible_qos_status": (ENTITY, ENTITY, ct.POINTER(IncompatibleQos)),
    "dds_get_requested_incompatible_qos_status": (ENTITY, ENTITY, ct.POINTER(IncompatibleQos)),
    "dds_triggered": (ENTITY, ENTITY),
    "dds_wait_for_acks": (ENTITY, ENTITY, TIME),
    "dds_assert_liveliness": (ENTITY, ENTITY),
    "dds_strretcode": (ct.c_char_p, ENTITY),
    "dds_free": (None, POINTER),
    "dds_create_qos": (POINTER,),
    "dds_delete_qos": (None, POINTER),
    "dds_qset_userdata": (None, POINTER, ct.c_char_p, ct.c_size_t),
    "dds_qset_reliability": (None, POINTER, ct.c_int, TIME),
    "dds_qset_history": (None, POINTER, ct.c_int, ct.c_int32),
    "dds_qset_durability": (None, POINTER, ct.c_int),
    "dds_qset_durability_service": (None, POINTER, TIME, ct.c_int, ct.c_int32, ct.c_int32, ct.c_int32, ct.c_int32),
    "dds_qset_data_representation": (None, POINTER, U32, ct.POINTER(ct.c_int16)),
    "dds_qset_writer_data_lifecycle": (None, POINTER, ct.c_bool),
    "dds_qset_lifespan": (None, POINTER, TIME),
    "dds_qset_deadline": (None, POINTER, TIME),
    "dds_qset_liveliness": (None, POINTER, ct.c_int, TIME),
    "dds_qset_ignorelocal": (None, POINTER, ct.c_int),
    "dds_qget_userdata": (ct.c_bool, POINTER, _POINTERS, ct.POINTER(ct.c_size_t)),
    "dds_qget_reliability": (ct.c_bool, POINTER, _I32S, _I64S),
    "dds_qget_history": (ct.c_bool, POINTER, _I32S, _I32S),
    "dds_qget_durability": (ct.c_bool, POINTER, _I32S),
    "dds_qget_lifespan": (ct.c_bool, POINTER, _I64S),
    "dds_qget_deadline": (ct.c_bool, POINTER, _I64S),
    "dds_qget_liveliness": (ct.c_bool, POINTER, _I32S, _I64S),
}


class DdsError(RuntimeError):
    """A call into Cyclone DDS failed."""


def library_path() -> Path:
    """The C library inside the installed `cyclonedds` wheel.

    Raises:
        QtxError: there is no such wheel here.
    """
    found = importlib.util.find_spec("cyclonedds")
    folders = [Path(found.origin).parents[1] / "cyclonedds.libs"] if found and found.origin else []
    for folder in folders:
        for path in sorted(folder.glob("libddsc-*.so*")):
            return path
    here = f"Python {sys.version_info.major}.{sys.version_info.minor} on {platform.system()} {platform.machine()}"
    raise QtxError(
        f"the embedded DDS backend needs the wheel 'cyclonedds', which is not installed ({here}; wheels exist for "
        "CPython 3.10 to 3.13 on x86_64 Linux): pip install cyclonedds, or source a ROS 2 installation to use rclpy"
    )


@functools.cache
def library() -> ct.CDLL:
    """The loaded C library with declared signatures."""
    try:
        lib = ct.CDLL(str(library_path()))
    except OSError as error:
        raise QtxError(f"the DDS library of the 'cyclonedds' wheel does not load: {error}") from None
    for name, (result, *arguments) in SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def call(name: str, *arguments) -> int:
    """Call a function that returns an entity, a count or a negative error code.

    Raises:
        DdsError: the code was negative.
    """
    result = getattr(library(), name)(*arguments)
    if result < 0:
        raise DdsError(f"{name} failed: {library().dds_strretcode(result).decode()}")
    return result


def guid(entity: int) -> bytes:
    """The 16-byte GUID of an entity."""
    buffer = (ct.c_ubyte * 16)()
    call("dds_get_guid", entity, buffer)
    return bytes(buffer)


def instance_handle(entity: int) -> int:
    handle = HANDLE()
    call("dds_get_instance_handle", entity, ct.byref(handle))
    return handle.value


def user_data(qos: int) -> dict[str, str]:
    """The `key=value;` pairs by which ROS 2 carries enclaves, type hashes and service identifiers."""
    data, size = POINTER(), ct.c_size_t()
    if not qos or not library().dds_qget_userdata(qos, ct.byref(data), ct.byref(size)) or not data.value:
        return {}
    text = ct.string_at(data.value, size.value).decode("utf-8", "replace")
    library().dds_free(data)
    return dict(pair.split("=", 1) for pair in text.split(";") if "=" in pair)


def matched(entity: int, which: Callable | str) -> list[int]:
    """Instance handles of the endpoints matched with a writer (`…_subscriptions`) or reader (`…_publications`)."""
    function = getattr(library(), f"dds_get_matched_{which}")
    handles = (HANDLE * 64)()
    count = function(entity, handles, 64)
    if count > 64:
        handles = (HANDLE * count)()
        count = min(count, function(entity, handles, count))
    return list(handles[: max(count, 0)])


def matched_user_data(entity: int, which: str, handle: int) -> dict[str, str] | None:
    """USER_DATA of one matched endpoint (`subscription` or `publication`); None when it is gone."""
    endpoint = getattr(library(), f"dds_get_matched_{which}_data")(entity, handle)
    if not endpoint:
        return None
    try:
        return user_data(endpoint.contents.qos)
    finally:
        library().dds_builtintopic_free_endpoint(endpoint)
