"""Recording episodes of the simulated robot without ROS topics: the same messages in the same bags, simulated time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from qtx_ros import ros
from qtx_ros.agent.operator import PolicyOperator
from qtx_ros.bags.writer import qos_profile
from qtx_ros.data.messages import command_fields
from qtx_ros.nodes import sim_messages
from qtx_ros.nodes.fields import build
from qtx_ros.nodes.outcome import Outcome
from qtx_ros.nodes.recorder_episodes import Episodes
from qtx_ros.sim.expert import Expert
from qtx_ros.sim.operators import Operator
from qtx_ros.sim.rollout import DELAY, IMAGE, sub_steps
from qtx_ros.sim.world import SUB_STEP, World
from qtx_ros.spec import Spec

SUB_STEP_NS = round(SUB_STEP * 1e9)
# When a recorder would have received what happened at a physics snapshot [ns]: as measured over the wire.
STATES_NS, EVENT_NS, FRAME_NS, COMMAND_NS = 500_000, 600_000, 7_000_000, 11_000_000
AFTERWARDS = 2  # frames recorded after the end, so that the last step has a successor


class OfflineCollector:
    """Simulator, operator and recorder in one loop; a command takes effect one sub-step after its frame."""

    def __init__(self, spec: Spec, folder: Path, policy: PolicyOperator | None = None) -> None:
        """`policy`: who drives instead of the scripted operators of a mix."""
        sim_messages.check(spec)
        self._policy = policy
        self._spec, self._per_tick = spec, sub_steps(spec)
        self._world, self._experts = World(), {}
        self._clock_ns = time.time_ns()
        self._episodes = Episodes(folder, spec, lambda: self._clock_ns, lambda event: None, "/episode/event")
        sensor, reliable = qos_profile(reliable=False), qos_profile()
        self._topics = {
            "/" + stream.topic: (stream.type, (profile,))
            for stream, profile in (
                *((stream, sensor) for stream in (*spec.cameras, *spec.states)),
                (spec.commands[0], reliable),
                (spec.instruction, qos_profile(depth=1, latched=True)),
                (spec.events, reliable),
            )
        }

    def close(self) -> None:
        """Free what OpenGL gave."""
        self._world.close()

    def episode(self, task: str, mix: str, seed: int, horizon: int, keep_all: bool) -> Outcome:
        """One episode: reset, guide the hand where the mix says so, record, drive, label."""
        world = self._world
        world.reset(task, seed)
        operator = self._operator(mix, seed)
        for _ in range(operator.guided):
            self._tick(operator)
        if world.success:  # nothing left to show
            return Outcome(seed, "success", 0, False, "")
        instruction = ros.message(self._spec.instruction.type)(data=world.task.instruction)
        latched = [("/" + self._spec.instruction.topic, ros.serialize(instruction))]
        self._episode = self._episodes.start(world.task.instruction, self._topics, latched)
        self._say_states()
        self._say_frame()
        ticks = 0
        while ticks < horizon and not world.success:
            self._tick(operator)
            ticks += 1
        for _ in range(AFTERWARDS):
            self._tick(None)
        return self._finish(seed, ticks, operator, keep_all)

    def _operator(self, mix: str, seed: int) -> Operator | PolicyOperator:
        if self._policy is None:
            return Operator(self._expert(), mix, np.random.default_rng(seed))
        self._policy.begin(self._world)
        return self._policy

    def _finish(self, seed: int, ticks: int, operator: Operator | PolicyOperator, keep_all: bool) -> Outcome:
        label = "success" if self._world.success else "failure"
        kept = keep_all or label == operator.mix.wanted
        _, path = self._episodes.stop(label if kept else "discard", f"ended as {label}")
        return Outcome(seed, label, ticks, kept, str(path or ""))

    def _expert(self) -> Expert:
        task = self._world.task
        if task.name not in self._experts:
            self._experts[task.name] = Expert(task, self._world.scene, period=1.0 / self._spec.rate)
        return self._experts[task.name]

    # --- time --------------------------------------------------------------------------------------------------------

    def _tick(self, operator: Operator | None) -> None:
        """From one frame to the next. The operator's command answers the first."""
        command = None if operator is None else operator.act(self._world.privileged, self._world.positions)
        if command is not None:
            command = self._command(command)
        for i in range(self._per_tick):
            if i == DELAY and command is not None:
                self._world.command(command, 1.0 / self._spec.rate)
            self._step()
        self._say_frame()

    def _command(self, targets: np.ndarray) -> dict[str, float]:
        stream = self._spec.commands[0]
        by_name = dict(zip(self._world.names, targets, strict=True))
        values = np.array([by_name[dimension.name] for dimension in stream.dimensions])
        self._say(stream.topic, COMMAND_NS, build(*command_fields(stream, values, 0, self._spec.period_ns)))
        return dict(zip((dimension.name for dimension in stream.dimensions), values, strict=True))

    def _step(self) -> None:
        before = self._world.success
        success = self._world.step()
        self._clock_ns += SUB_STEP_NS
        self._say_states()
        if success and not before:
            self._say_event(1.0)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _say(self, topic: str, delay_ns: int, msg: Any) -> None:
        if self._episodes.running is not None:
            self._episodes.running.write("/" + topic, self._clock_ns + delay_ns, ros.serialize(msg))

    def _say_states(self) -> None:
        for stream in self._spec.states if self._episodes.running is not None else ():
            self._say(stream.topic, STATES_NS, sim_messages.STATES[stream.type](self._world, self._clock_ns))

    def _say_event(self, reward: float) -> None:
        event = sim_messages.step_event(self._world, self._clock_ns, reward, self._episode)
        self._say(self._spec.events.topic, EVENT_NS, event)

    def _say_frame(self) -> None:
        if self._episodes.running is None:
            return
        if not self._world.success:
            self._say_event(0.0)
        for camera in self._spec.cameras:
            picture = self._world.render(IMAGE, IMAGE)
            self._say(camera.topic, FRAME_NS, sim_messages.image(picture, self._clock_ns))
