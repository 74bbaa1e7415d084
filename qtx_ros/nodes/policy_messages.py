"""What the policy node says: its decisions and its diagnostics, as messages."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from qtx_ros import ros
from qtx_ros.data.align import Observation
from qtx_ros.deploy.confidence import entropies, margins, runners_up
from qtx_ros.deploy.health import Report
from qtx_ros.deploy.pilot import Command
from qtx_ros.nodes.fields import build, time_message
from qtx_ros.preprocess import bin_edges
from qtx_ros.spec import Spec

DECISION = "qtx_ros/msg/Decision"


def newest_frame(spec: Spec, observation: Observation | None) -> tuple[int, int]:
    """Header stamp and receive time [ns] of the newest camera frame observed; zeros where there is none."""
    if observation is None:
        return 0, 0
    topics = [camera.topic for camera in spec.cameras if camera.topic in observation.received_ns]
    newest = max(topics, key=observation.received_ns.get, default=None)
    return observation.stamps_ns.get(newest, 0), observation.received_ns.get(newest, 0)


def decision(
    spec: Spec,
    command: Command,
    tick_ns: int,
    published_ns: int,
    observation: Observation | None,
    spent: dict[str, float],
) -> Any:
    """One decision: the network's choice, or a hold with its reason and no bins. `spent`: [ms] in each stage."""
    stamp, received = newest_frame(spec, observation)
    message = ros.message(DECISION)(
        camera_stamp=time_message(stamp),
        camera_received=time_message(received),
        published=time_message(published_ns),
        instruction="" if observation is None else observation.instruction,
        hold=command.choice is None,
        reason=command.reason,
        names=[d.name for d in spec.dimensions],
        bin_counts=[d.bins for d in spec.dimensions],
        stages=list(spent),
        stage_ms=array("f", spent.values()),
        **({} if command.choice is None else _choice(spec, command)),
    )
    message.header.stamp = time_message(tick_ns)
    return message


def _choice(spec: Spec, command: Command) -> dict:
    choice = command.choice
    edges = [bin_edges(d)[b : b + 2] for d, b in zip(spec.dimensions, choice.bins, strict=True)]
    present = np.concatenate([row[: d.bins] for d, row in zip(spec.dimensions, choice.q_all, strict=True)])
    return {
        "bins": choice.bins.tolist(),
        "values": choice.values.tolist(),
        "lower": [float(low) for low, _ in edges],
        "upper": [float(high) for _, high in edges],
        "q": array("f", choice.q.astype(np.float32).tobytes()),
        "q_all": array("f", present.astype(np.float32).tobytes()),
        "runner_up": runners_up(choice.q_all).tolist(),
        "margin": array("f", margins(choice.q_all)),
        "entropy": array("f", entropies(choice.q_all)),
        "explored": choice.explored,
    }


def diagnostics(name: str, report: Report, stamp_ns: int) -> Any:
    """diagnostic_msgs/DiagnosticArray with one status."""
    return build(
        "diagnostic_msgs/msg/DiagnosticArray",
        {
            "header": {"stamp": time_message(stamp_ns)},
            "status": [
                {
                    "level": bytes([report.level]),
                    "name": f"{name.strip('/').replace('/', ': ')}: drive",
                    "message": report.message,
                    "hardware_id": "",
                    "values": [{"key": key, "value": value} for key, value in report.values.items()],
                }
            ],
        },
    )
