"""Any robot of a YAML, as topics: two grey halves as frames, chosen joint positions, and ears for what it is told."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from array import array
from collections.abc import Iterator

import cv2
import numpy as np
from tiny_bundle import write_tiny_bundle

from qtx_ros import ros
from qtx_ros.data import messages
from qtx_ros.nodes.fields import build, time_message
from qtx_ros.nodes.policy_node import PolicyNode
from qtx_ros.spec import Spec

TEXT = "open the drawer"
BEST_EFFORT = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)


def patient(spec: Spec, max_age: float = 0.5) -> Spec:
    """The same robot with age limits that a busy test machine keeps."""
    return dataclasses.replace(
        spec,
        cameras=tuple(dataclasses.replace(camera, max_age=max_age) for camera in spec.cameras),
        states=tuple(dataclasses.replace(stream, max_age=max_age) for stream in spec.states),
    )


class Robot:
    """Publishes every sensor of the spec at its rate while `running`, and keeps every message the policy sends."""

    def __init__(self, spec: Spec, context: ros.Context, policy: str = "/policy") -> None:
        self.spec, self.running, self.blind = spec, True, False
        self.brightness, self.contrast = 100, 5  # mean of a frame, and what its halves differ from it
        self.size, self.encoding = (120, 160), "rgb8"
        self.cut = 0  # bytes missing at the end of an image
        self.ahead = 0.0  # [s] the sensors' clock
        self.positions = {name: 0.1 * i for i, name in enumerate(spec.state_names)}
        self.commands: dict[str, list[np.ndarray]] = {stream.topic: [] for stream in spec.commands}
        self.messages: list = []
        self.decisions: list = []
        self.diagnostics: list = []
        self.node = ros.Node("robot", context=context)
        sensors = (*spec.cameras, *spec.states)
        self._sensors = {stream.topic: self._publisher(stream.type, stream.topic, BEST_EFFORT) for stream in sensors}
        self._text = self._publisher(spec.instruction.type, spec.instruction.topic, LATCHED)
        self._events = self._publisher("qtx_ros/msg/EpisodeEvent", "episode/event", 10)
        for stream in spec.commands:
            self._listen(stream.type, stream.topic, lambda msg, s=stream: self._on_command(s, msg))
        self._listen("qtx_ros/msg/Decision", f"{policy}/decision", self.decisions.append)
        self._listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics", lambda m: self.diagnostics.extend(m.status))
        self.node.create_timer(1 / spec.rate, self._sense)

    def _publisher(self, type: str, topic: str, qos):
        return self.node.create_publisher(ros.message(type), topic, qos)

    def _listen(self, type: str, topic: str, callback) -> None:
        self.node.create_subscription(ros.message(type), topic, callback, 50)

    def _on_command(self, stream, msg) -> None:
        self.messages.append(msg)
        self.commands[stream.topic].append(messages.command(stream, msg))

    def _sense(self) -> None:
        if self.running:
            self.send_states()
            if not self.blind:
                self.send_frames()

    def send_states(self) -> None:
        for stream in self.spec.states:
            values = [float(self.positions[name]) for name in stream.names]
            if stream.type.endswith("JointState"):
                fields = {"header": {"stamp": self._now()}, "name": list(stream.names), stream.field: values}
            else:
                fields = {"data": values}
            self._sensors[stream.topic].publish(build(stream.type, fields))

    def send_frames(self) -> None:
        for camera in self.spec.cameras:
            pixels = _pixels(camera, self._picture(), self.encoding)
            pixels["data"] = pixels["data"][: len(pixels["data"]) - self.cut]
            self._sensors[camera.topic].publish(build(camera.type, {"header": {"stamp": self._now()}, **pixels}))

    def _picture(self) -> np.ndarray:
        picture = np.full((*self.size, 3), self.brightness - self.contrast, np.uint8)
        picture[:, self.size[1] // 2 :] = self.brightness + self.contrast
        return picture

    def say(self, instruction: str) -> None:
        self._text.publish(ros.message(self.spec.instruction.type)(data=instruction))

    def begin_episode(self, episode: str = "") -> None:
        event = ros.message("qtx_ros/msg/EpisodeEvent")
        self._events.publish(event(event=event.START, episode=episode))

    def end_episode(self, episode: str = "") -> None:
        event = ros.message("qtx_ros/msg/EpisodeEvent")
        self._events.publish(event(event=event.STOP, episode=episode))

    def _now(self):
        return time_message(self.node.get_clock().now().nanoseconds + round(self.ahead * 1e9))

    @property
    def state(self) -> np.ndarray:
        """float64 [S]."""
        return np.array([self.positions[name] for name in self.spec.state_names])

    def choices(self) -> list:
        """Decisions that were the network's."""
        return [decision for decision in self.decisions if not decision.hold]

    def holds(self) -> list:
        return [decision for decision in self.decisions if decision.hold]


def _pixels(camera, picture: np.ndarray, encoding: str) -> dict:
    if camera.type.endswith("CompressedImage"):
        return {"format": "png", "data": array("B", cv2.imencode(".png", picture)[1].tobytes())}
    height, width = picture.shape[:2]
    data = array("B", picture.tobytes())
    return {"height": height, "width": width, "encoding": encoding, "step": 3 * width, "data": data}


def make(context: ros.Context, folder, spec: Spec, **parameters):
    """A policy node for a tiny bundle, its robot, and what spins them."""
    parameters = {"bundle": str(write_tiny_bundle(folder, spec)), **parameters}
    node = PolicyNode(context=context, parameter_overrides=[ros.Parameter(k, value=v) for k, v in parameters.items()])
    robot = Robot(spec, context)
    return node, robot, Spinner(context, node, robot.node)


def begin(robot: Robot) -> None:
    """Wait for decisions, and forget the holds until all topics had found each other."""
    assert wait(lambda: robot.choices() and all(robot.commands.values()))
    robot.decisions.clear()
    assert wait(lambda: len(robot.choices()) > 3)


@contextlib.contextmanager
def apart(name: str) -> Iterator[ros.Node]:
    """A node in a context of its own, as another process has it: a participant of Fast DDS has one type for a topic."""
    context = ros.Context()
    ros.init(args=[], context=context)
    try:
        yield ros.Node(name, context=context)
    finally:
        ros.try_shutdown(context=context)


class Spinner:
    """Runs the callbacks of nodes on threads of their own; ends the nodes when closed."""

    def __init__(self, context: ros.Context, *nodes) -> None:
        self._nodes, self._closing = nodes, False
        self.executor = ros.MultiThreadedExecutor(num_threads=4, context=context)
        for node in nodes:
            self.executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ros.ExternalShutdownException:
            pass
        except Exception:
            if not self._closing:  # rclpy's executor may trip over its own end
                raise

    def close(self) -> None:
        self._closing = True
        self.executor.shutdown()
        self._thread.join(10)
        assert not self._thread.is_alive()
        for node in self._nodes:
            node.destroy_node()


def wait(condition, seconds: float = 20.0) -> bool:
    """Wait until something holds; whether it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())
