"""Real processes around one robot: the policy, its watchdog and a scripted robot, and ears on the wire."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

PATIENCE = 60.0  # [s] for a process to come up on a busy machine


@dataclass(frozen=True)
class Heard:
    """One message on a topic that the policy or the watchdog publishes."""

    at_ns: int  # of the monotonic clock
    values: np.ndarray | None = None  # float64 [D] of a command
    hold: bool = False  # of a decision
    reason: str = ""
    msg: Any = None


class Ears:
    """Hears commands and decisions, and says what people say: emergency stop, takeover, re-arm."""

    def __init__(self, spec: Spec) -> None:
        from qtx_ros import ros
        from qtx_ros.data.messages import command

        self._ros, self._context, self.spec = ros, ros.Context(), spec
        ros.init(args=[], context=self._context)
        self._node = ros.Node("bench", context=self._context)
        self.commands: list[Heard] = []
        self.decisions: list[Heard] = []
        stream = spec.commands[0]

        def on_command(msg: Any) -> None:
            self.commands.append(Heard(time.monotonic_ns(), command(stream, msg)))

        def on_decision(msg: Any) -> None:
            self.decisions.append(Heard(time.monotonic_ns(), None, msg.hold, msg.reason, msg))

        self._node.create_subscription(ros.message(stream.type), stream.topic, on_command, 50)
        self._node.create_subscription(ros.message("qtx_ros/msg/Decision"), "policy/decision", on_decision, 50)
        boolean = ros.message("std_msgs/msg/Bool")
        self._says = {t: self._node.create_publisher(boolean, t, 10) for t in ("emergency_stop", "intervention")}
        self._rearm = self._node.create_client(ros.service("std_srvs/srv/Trigger"), "policy/rearm")
        self._executor = ros.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def say(self, topic: str, value: bool) -> None:
        """Publish true or false on `emergency_stop` or `intervention`."""
        self._says[topic].publish(self._ros.message("std_msgs/msg/Bool")(data=value))

    def rearm(self) -> str:
        """Call the policy's `~/rearm`; its answer, empty if it armed."""
        future = self._rearm.call_async(self._ros.service("std_srvs/srv/Trigger").Request())
        end = time.monotonic() + PATIENCE
        while not future.done() and time.monotonic() < end:
            time.sleep(0.005)
        answer = future.result() if future.done() else None
        return "no answer" if answer is None else "" if answer.success else answer.message

    def forget(self) -> None:
        """Drop what was heard so far."""
        del self.commands[:-1], self.decisions[:-1]

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown()
        self._thread.join(10)
        self._node.destroy_node()
        self._ros.try_shutdown(context=self._context)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except self._ros.ExternalShutdownException:
            pass


class Process:
    """A child with a log; its standard output is read line by line if it talks."""

    def __init__(self, name: str, module: list[str], folder: Path, talks: bool = False) -> None:
        self.name, self._log = name, folder / f"{name}.log"
        self.answers: queue.SimpleQueue = queue.SimpleQueue()
        with open(self._log, "ab") as log:
            pipe = subprocess.PIPE if talks else subprocess.DEVNULL
            output = subprocess.PIPE if talks else log
            command = [sys.executable, "-m", *module]
            self._child = subprocess.Popen(command, stdin=pipe, stdout=output, stderr=log, start_new_session=True)
        if talks:
            threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, order: dict | None = None, patience: float = PATIENCE) -> int:
        """Send one line of JSON, if any, and wait for the answer: a moment [ns, monotonic], 0 for a mere "ready"."""
        if order is not None:
            self._child.stdin.write(json.dumps(order).encode() + b"\n")
            self._child.stdin.flush()
        try:
            return json.loads(self.answers.get(timeout=patience)).get("at", 0)
        except queue.Empty:
            raise QtxError(f"the {self.name} process does not answer within {patience:g} s: {self.last()}") from None

    def send(self, number: int) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def check(self) -> None:
        """QtxError if it has ended by itself."""
        if self._child.poll() is not None:
            raise QtxError(f"the {self.name} process ended with status {self._child.returncode}: {self.last()}")

    def log(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="replace")

    def last(self) -> str:
        """The last line of its log."""
        lines = self.log().strip().splitlines()
        return lines[-1] if lines else "no output"

    def kill(self) -> None:
        """End it at once."""
        if self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def _read(self) -> None:
        for line in self._child.stdout:
            self.answers.put(line)


class Rig:
    """A context manager: a folder for logs, the three processes, and ears."""

    def __init__(self, folder: Path, bundle: str, robot: str, simulated: bool = False, spare: bool = False) -> None:
        """`robot`: its YAML; `simulated`: the policy's time is `/clock`; `spare`: keep a second robot waiting."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._simulated, self._spare = folder, simulated, spare
        self._arguments = ["--bundle", bundle, "--robot", robot]
        self.spec = Spec.load(robot)
        self._all: list[Process] = []

    def __enter__(self) -> Rig:
        try:
            self.robot = self._start_robot()
            self.spare = self._start_robot("--spare") if self._spare else None
            self.start_policy()
            self.watchdog = self._start("watchdog", ["qtx_ros", "watchdog", *self._arguments])
            self.ears = Ears(self.spec)
            self.wait(self.drives, "the policy does not drive", PATIENCE)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: Any) -> None:
        for process in self._all:
            process.kill()
        if hasattr(self, "ears"):
            self.ears.close()

    def start_policy(self) -> None:
        """Start the policy's process."""
        time_source = ["--ros-args", "-p", "use_sim_time:=true"] if self._simulated else []
        self.policy = self._start("policy", ["qtx_ros", "policy", *self._arguments, *time_source])

    def swap_robot(self) -> int:
        """Let the waiting robot take the place of one that died; the moment it begins [ns]."""
        self.robot = self.spare
        began = self.robot.ask({})
        self.spare = self._start_robot("--spare")
        return began

    def drives(self, count: int = 10) -> bool:
        """Whether the last decisions were all motions, and the newest is fresh."""
        recent = self.ears.decisions[-count:]
        fresh = bool(recent) and time.monotonic_ns() - recent[-1].at_ns < 3 * self.spec.period_ns
        return fresh and len(recent) == count and not any(decision.hold for decision in recent)

    def wait(self, condition: Callable[[], bool], complaint: str, seconds: float) -> None:
        """Wait until something holds; QtxError if it does not, or if a process ended."""
        end = time.monotonic() + seconds
        while not condition():
            self.policy.check()
            if time.monotonic() > end:
                last = self.ears.decisions[-1].reason if self.ears.decisions else "no decision"
                raise QtxError(f"{complaint} after {seconds:g} s: {last or self.policy.last()}")
            time.sleep(0.005)

    def _start_robot(self, *arguments: str) -> Process:
        clock = ["--simulated"] if self._simulated else []
        robot = self._start("robot", ["qtx_ros.bench.scripted_robot", *clock, *arguments], talks=True)
        robot.ask()  # ready
        if not arguments:
            robot.ask()  # it publishes
        return robot

    def _start(self, name: str, module: list[str], talks: bool = False) -> Process:
        self._all.append(Process(name, module, self._folder, talks))
        return self._all[-1]
