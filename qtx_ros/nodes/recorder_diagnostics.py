"""/diagnostics of the recorder, named and levelled as diagnostic_updater does: one status for it, one per topic."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from qtx_ros import ros
from qtx_ros.bags.traffic import TopicTraffic


def diagnostics(node: str, status: Any, topics: Iterable[TopicTraffic], now_ns: int) -> Any:
    """A DiagnosticArray of the recorder called `node`; `status`: its RecorderStatus."""
    array = ros.message("diagnostic_msgs/msg/DiagnosticArray")()
    array.header.stamp = status.header.stamp
    every = sorted(topics, key=lambda topic: topic.name)
    array.status = [_recorder(node, status), *(_topic(node, topic, now_ns, status.recording) for topic in every)]
    return array


def _recorder(node: str, status: Any) -> Any:
    kinds = ros.message("diagnostic_msgs/msg/DiagnosticStatus")
    level = kinds.ERROR if status.problems else kinds.OK
    text = "; ".join(status.problems) or (f"records {status.episode}" if status.recording else "ready")
    values = {
        "episode": status.episode,
        "duration [s]": f"{status.duration:.1f}",
        "messages": status.messages,
        "bytes": status.bytes,
        "lost": status.lost,
        "waiting for the disk [B]": status.waiting,
        "free disk [B]": status.free_disk,
    }
    return _status(level, f"{node}: recording", text, values)


def _topic(node: str, topic: TopicTraffic, now_ns: int, recording: bool) -> Any:
    kinds = ros.message("diagnostic_msgs/msg/DiagnosticStatus")
    broken, silence = list(topic.problems(now_ns).values()) if recording else [], topic.silence(now_ns)
    silent = topic.limits.max_gap is not None and silence > topic.limits.max_gap
    level, text = kinds.OK, f"{topic.rate:.1f} Hz"
    if broken:
        level, text = kinds.ERROR, "; ".join(broken)
    elif silent:
        level, text = kinds.WARN, f"silent for {silence:.1f} s, max_gap is {topic.limits.max_gap:g} s"
    elif topic.lost:
        level, text = kinds.WARN, f"{topic.lost} messages lost"
    values = {
        "messages": topic.messages,
        "rate [Hz]": f"{topic.rate:.2f}",
        "age [s]": f"{topic.age:.4f}",
        "silence [s]": f"{silence:.3f}",
        "longest gap [s]": f"{topic.max_gap(now_ns):.3f}",
        "gaps": topic.gaps,
        "lost on the wire": topic.lost_wire,
        "lost before the disk": topic.lost_queue,
    }
    return _status(level, f"{node}: {topic.name}", text, values)


def _status(level: Any, name: str, text: str, values: Mapping[str, Any]) -> Any:
    pair = ros.message("diagnostic_msgs/msg/KeyValue")
    pairs = [pair(key=key, value=str(value)) for key, value in values.items()]
    fields = {"name": name, "message": text, "hardware_id": socket.gethostname(), "values": pairs}
    return ros.message("diagnostic_msgs/msg/DiagnosticStatus")(level=level, **fields)
