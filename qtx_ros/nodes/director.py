"""Plays episodes on a running robot: resets it, starts the recorder and the policy, waits for success, stops both."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

CONFIGURE, ACTIVATE, DEACTIVATE = 1, 3, 4  # lifecycle_msgs/msg/Transition
REPLY_TIMEOUT = 20.0  # [s] the first answer waits for a bundle or a scene to load


@dataclass
class Played:
    """What happened in one episode."""

    task: str
    seed: int
    instruction: str
    bag: Path | None = None
    success: bool = False
    seconds: float = 0.0
    decisions: list = field(default_factory=list)  # qtx_ros/msg/Decision, oldest first


class Director(ros.Node):
    """A client of the robot, the recorder and the policy; its callbacks run in a thread of their own."""

    def __init__(self, spec: Spec, **node_options) -> None:
        super().__init__("demo", **node_options)
        self._lock = threading.Lock()
        self._played: Played | None = None
        self._succeeded = threading.Event()
        self._reset = self.create_client(ros.service("qtx_ros/srv/Reset"), "sim/reset")
        self._start = self.create_client(ros.service("qtx_ros/srv/StartEpisode"), "recorder/start")
        self._stop = self.create_client(ros.service("qtx_ros/srv/StopEpisode"), "recorder/stop")
        self._policy = self.create_client(ros.service("lifecycle_msgs/srv/ChangeState"), "policy/change_state")
        decision, events = ros.message("qtx_ros/msg/Decision"), ros.message(spec.events.type)
        self.create_subscription(decision, "policy/decision", self._on_decision, ros.QoSProfile(depth=100))
        self.create_subscription(events, spec.events.topic, self._on_event, ros.QoSProfile(depth=100))

    def wait_for_peers(self, timeout: float, check=lambda: None) -> None:
        """Wait until robot, recorder and policy answer; `check()` may raise when one of them has ended."""
        deadline = time.monotonic() + timeout
        for client in (self._reset, self._start, self._stop, self._policy):
            while not client.wait_for_service(timeout_sec=0.2):
                check()
                if time.monotonic() > deadline:
                    raise QtxError(f"nobody offers the service {client.srv_name!r} after {timeout:g} s")

    def policy_runs(self, patience: float) -> bool:
        """Whether a policy node shows itself within `patience` seconds."""
        return self._policy.wait_for_service(timeout_sec=patience)

    def abandon(self, comment: str) -> None:
        """Discard the episode that plays, if there is one."""
        if self._played is not None:
            self._ask(self._stop, label="discard", comment=comment)

    def play(self, task: str, seed: int, time_limit: float, check=lambda: None) -> Played:
        """One episode, from reset to label."""
        scene = self._ask(self._reset, task=task, seed=seed)
        played = Played(task, seed, scene.instruction)
        self._ask(self._start, instruction=scene.instruction)
        self._succeeded.clear()
        with self._lock:
            self._played = played
        began = time.monotonic()
        self.drive(ACTIVATE)
        while time.monotonic() - began < time_limit and not self._succeeded.wait(0.1):
            check()
        played.seconds = time.monotonic() - began
        played.success = self._succeeded.is_set()
        self.drive(DEACTIVATE)
        with self._lock:
            self._played = None
        stopped = self._ask(self._stop, label="success" if played.success else "failure")
        played.bag = Path(stopped.path)
        return played

    def drive(self, transition: int) -> None:
        """Take the policy through a lifecycle transition."""
        request = ros.service("lifecycle_msgs/srv/ChangeState").Request()
        request.transition.id = transition
        if not self._wait(self._policy, request).success:
            raise QtxError(f"the policy refused lifecycle transition {transition}: its log says why")

    def _ask(self, client, **fields):
        """A reply that says it succeeded, or a QtxError with the reply's own words."""
        reply = self._wait(client, client.srv_type.Request(**fields))
        if not reply.success:
            raise QtxError(f"{client.srv_name}: {reply.message}")
        return reply

    def _wait(self, client, request):
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _future: done.set())
        if not done.wait(REPLY_TIMEOUT):
            raise QtxError(f"{client.srv_name} did not answer within {REPLY_TIMEOUT:g} s")
        return future.result()

    def _on_decision(self, msg) -> None:
        with self._lock:
            if self._played is not None and not msg.hold:
                self._played.decisions.append(msg)

    def _on_event(self, msg) -> None:
        if msg.success and self._played is not None:
            self._succeeded.set()
