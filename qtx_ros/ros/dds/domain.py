"""The DDS domain of this process, configured from ROS 2's environment variables as rmw_cyclonedds does."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from xml.sax.saxutils import quoteattr

from qtx_ros.errors import QtxError
from qtx_ros.ros.dds import cyclone, losses

RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
# Datagrams and fragments near the UDP limit: with Cyclone's small defaults Fast DDS peers lost large frames.
SIZES = "<General><MaxMessageSize>65000B</MaxMessageSize><FragmentSize>60000B</FragmentSize></General>"
# Asks for room for what arrives while the process does not run; the system grants up to net.core.rmem_max.
SIZES += '<Internal><SocketReceiveBufferSize max="16MiB"/></Internal>'

_lock = threading.Lock()
_domains: dict[int, tuple[int, int, int | None]] = {}  # domain id → entity, users, port of its debug monitor


def domain_id_from_environment() -> int:
    """ROS_DOMAIN_ID, 0 when unset.

    Raises:
        QtxError: not a number from 0 to 232.
    """
    text = os.environ.get("ROS_DOMAIN_ID", "") or "0"
    if not text.isdigit() or int(text) > 232:
        raise QtxError(f"ROS_DOMAIN_ID is {text!r}, expected a number from 0 to 232")
    return int(text)


def discovery_range() -> str:
    """ROS_AUTOMATIC_DISCOVERY_RANGE; the older ROS_LOCALHOST_ONLY=1 means LOCALHOST, as in ROS 2 Iron and later.

    Raises:
        QtxError: an unknown range.
    """
    if os.environ.get("ROS_LOCALHOST_ONLY", "") == "1":
        return "LOCALHOST"
    text = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "") or "SUBNET"
    if text not in RANGES:
        raise QtxError(f"ROS_AUTOMATIC_DISCOVERY_RANGE is {text!r}, expected one of {', '.join(RANGES)}")
    return text


def static_peers() -> list[str]:
    """ROS_STATIC_PEERS: addresses separated by semicolons."""
    return [peer for peer in os.environ.get("ROS_STATIC_PEERS", "").split(";") if peer]


def configuration(more: str = "") -> str:
    """Cyclone's configuration as XML fragments; CYCLONEDDS_URI comes last and therefore wins. `more`: of the domain."""
    reach, own = discovery_range(), os.environ.get("CYCLONEDDS_URI", "")
    general, discovery = "", ""
    if reach == "LOCALHOST" and "<NetworkInterface" not in _text(own):
        # The interface must be named: with multicast merely forbidden, peers on loopback never meet.
        general = '<General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>'
    if reach in ("LOCALHOST", "OFF"):
        general += "<General><AllowMulticast>false</AllowMulticast></General>"
    if reach == "OFF":
        tag = f"ros_discovery_off_{os.getpid()}"
        discovery = f"<ParticipantIndex>none</ParticipantIndex><Tag>{tag}</Tag>"
    elif reach != "SYSTEM_DEFAULT":
        peers = (["localhost"] if reach == "LOCALHOST" else []) + static_peers()
        listed = "".join(f"<Peer address={quoteattr(peer)}/>" for peer in peers)
        discovery = "<ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>"
        discovery += f"<Peers>{listed}</Peers>" if listed else ""
    fragments = [f"<CycloneDDS><Domain>{SIZES}{general}<Discovery>{discovery}</Discovery>{more}</Domain></CycloneDDS>"]
    return ",".join([*fragments, own] if own else fragments)


def _text(uri: str) -> str:
    """The XML behind a CYCLONEDDS_URI: comma-separated file names, `file://` addresses and literal fragments."""
    if uri.lstrip().startswith("<"):
        return uri
    paths = [Path(part.removeprefix("file://")) for part in uri.split(",") if part]
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file())


def acquire(domain_id: int) -> int | None:
    """Create the domain in this process, or count one more user of it; returns the port of its debug monitor, if any.

    Raises:
        QtxError: Cyclone DDS refuses (no usable network interface, wrong CYCLONEDDS_URI).
    """
    with _lock:
        entity, users, port = _domains.get(domain_id, (0, 0, None))
        if not entity:
            port = losses.free_port()
            entity = cyclone.library().dds_create_domain(domain_id, configuration(losses.configuration(port)).encode())
            if entity < 0:
                reason = cyclone.library().dds_strretcode(entity).decode()
                raise QtxError(
                    f"cannot join ROS domain {domain_id} ({reason}), the reason is above: a wrong CYCLONEDDS_URI, "
                    "no network interface, or more than 33 processes of this machine in the domain (choose another one)"
                )
        _domains[domain_id] = (entity, users + 1, port)
        return port


def release(domain_id: int) -> None:
    """Count one user less; the last one deletes the domain, unless it has a debug monitor.

    Cyclone's monitor thread may run into what the deletion freed (a segmentation fault, seen at the end of recorders).
    A domain without participants is silent, so it stays for the next user or the end of the process.
    """
    with _lock:
        entity, users, port = _domains[domain_id]
        if users > 1 or port is not None:
            _domains[domain_id] = (entity, users - 1, port)
        else:
            del _domains[domain_id]
            cyclone.library().dds_delete(entity)
