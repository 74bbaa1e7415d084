"""What the policy thinks, in standard messages: rqt_plot and Foxglove draw them without our definitions."""

from __future__ import annotations

from array import array

import numpy as np

from qtx_ros import ros
from qtx_ros.deploy.confidence import entropies, margins, runners_up
from qtx_ros.deploy.pilot import Command
from qtx_ros.deploy.policy import Choice
from qtx_ros.nodes.connections import Connections
from qtx_ros.nodes.fields import build, time_message
from qtx_ros.preprocess import from_bins
from qtx_ros.spec import Spec

ARRAY, JOINTS = "std_msgs/msg/Float32MultiArray", "sensor_msgs/msg/JointState"
TOPICS = {
    "q": ARRAY,  # Q of every bin, dimension after dimension, NaN for bins that a dimension lacks
    "margin": ARRAY,  # of each dimension
    "entropy": ARRAY,  # of each dimension
    "value": "std_msgs/msg/Float64",  # largest Q of the first dimension
    "chosen": JOINTS,  # position: value of the chosen bin of each dimension
    "runner_up": JOINTS,  # position: value of the second-best bin
    "target": JOINTS,  # position: the command that was sent, holds too
    "holding": "std_msgs/msg/Bool",
}
NEWEST = ros.QoSProfile(depth=5)


class Plots:
    """Publishers of one configured policy node."""

    def __init__(self, spec: Spec, to: Connections) -> None:
        self._spec, self._names = spec, [d.name for d in spec.dimensions]
        self._to = {name: to.publisher(type, f"~/{name}", NEWEST) for name, type in TOPICS.items()}

    def publish(self, command: Command, tick_ns: int) -> None:
        """Tell of a command that was just sent, and of the choice behind it if there is one."""
        self._send("holding", {"data": command.choice is None})
        self._joints("target", command.values, tick_ns)
        if command.choice is not None:
            self._choice(command.choice, tick_ns)

    def _choice(self, choice: Choice, tick_ns: int) -> None:
        q_all = np.where(np.isfinite(choice.q_all), choice.q_all, np.nan)
        self._send("value", {"data": float(np.nanmax(q_all[0]))})
        self._numbers("q", q_all)
        self._numbers("margin", margins(choice.q_all))
        self._numbers("entropy", entropies(choice.q_all))
        self._joints("chosen", choice.values, tick_ns)
        self._joints("runner_up", from_bins(self._spec, runners_up(choice.q_all)), tick_ns)

    def _send(self, name: str, fields: dict) -> None:
        self._to[name].publish(build(TOPICS[name], fields))

    def _joints(self, name: str, values: np.ndarray, tick_ns: int) -> None:
        header = {"stamp": time_message(tick_ns)}
        self._send(name, {"header": header, "name": self._names, "position": values.tolist()})

    def _numbers(self, name: str, values: np.ndarray) -> None:
        """An array of [D] or [D, bins]; the label of its first dimension names ours, in their order."""
        labels = (f"dimension: {', '.join(self._names)}", "bin")
        strides = [int(np.prod(values.shape[i:])) for i in range(values.ndim)]
        parts = zip(labels, values.shape, strides, strict=False)
        dim = [{"label": label, "size": size, "stride": stride} for label, size, stride in parts]
        data = array("f", values.astype(np.float32).tobytes())
        self._send(name, {"layout": {"dim": dim, "data_offset": 0}, "data": data})
