"""Driving, tick by tick: observe, let the network choose, command; and a watchdog that holds when ticks stay away.

The tick may take as long as the network does; the watchdog and the controls run in other threads, so that a hold never
waits for the network.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from qtx_ros.data.align import SET_BACK_NS, Aligner, Observation, Ticker
from qtx_ros.data.messages import stamp_ns
from qtx_ros.deploy.health import Health
from qtx_ros.deploy.pilot import Command, Pilot
from qtx_ros.deploy.policy import Choice, Policy
from qtx_ros.deploy.sight import last_before
from qtx_ros.deploy.stages import Stopwatch
from qtx_ros.deploy.takeover import HUMAN
from qtx_ros.deploy.urdf import joint_limits, positioned
from qtx_ros.errors import QtxError
from qtx_ros.nodes.policy_controls import Controls
from qtx_ros.nodes.policy_outputs import Outputs
from qtx_ros.nodes.policy_parameters import Values
from qtx_ros.spec import CommandStream

ARMED = "armed during this tick"  # a hold of one tick: nobody asked the network


class Driver:
    """One robot, one policy. `outputs` is set before `start`; `explain()` tells what the ROS graph knows of faults."""

    outputs: Outputs

    def __init__(
        self, policy: Policy, values: Values, controls: Controls, now: Callable[[], int], explain: Callable[[str], str]
    ) -> None:
        """`now()`: the node's time [ns]."""
        self.spec, self.instruction, self.active = policy.spec, values.instruction, False
        self.pilot = Pilot(policy, values.max_step, values.confidence(), values.exploration())
        self.pilot.streamed = values.output_rate > 0
        self.aligner, self._ticker = Aligner(self.spec), Ticker(self.spec)
        self.health = Health(policy.provider, self.spec.period_ns)
        self.lock = threading.RLock()  # one command at a time: the tick's, the watchdog's, or a transition's
        self._controls, self._now, self._explain = controls, now, explain
        self._keep = values.instruction_change == "keep"
        self._looked: dict[str, int] = {}  # topic → when its last frame arrived [ns]
        self._unfit = ""  # why no URDF's limits leave anything to do
        self._choosing = False  # the network is at work
        # An observation older than this must not move the robot any more.
        self._patience = max([2 * self.spec.period_ns, *(round(c.max_age * 1e9) for c in self.spec.cameras)])

    # --- begin and end -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Drive from the next tick on."""
        with self.lock:
            self.pilot.reset()
            self._controls.reset()
            self._since = self._latest = self._now()
            self.active = True

    def stop(self, reason: str) -> bool:
        """Command a hold if the robot is driven, and stop driving. True if it was."""
        with self.lock:
            if not self.active:
                return False
            self._halt(reason, self._now())
            self.active = False
            self.health.pause()
        self.diagnose()
        return True

    def replace(self, policy: Policy) -> None:
        """Go on with another policy of the same contract; QtxError if the robot is being moved."""
        with self.lock:
            if self.active and not self.health.reason:
                raise QtxError("the robot is being driven: call ~/pause first")
            self.pilot.policy = policy
            self.pilot.reset()

    # --- inputs ------------------------------------------------------------------------------------------------

    def hear(self, topic: str, msg: Any) -> None:
        """Take a message of a camera or state stream."""
        self.aligner.push(topic, self._now(), msg)

    def frame(self, topic: str, msg: Any) -> None:
        """Take a frame of the camera that ticks."""
        now = self._now()
        self.aligner.push(topic, now, msg)
        if self._ticker.push(topic, now, stamp_ns(msg)):
            self.tick(now)

    def look(self, topic: str, msg: Any) -> None:
        """Take a frame of a robot that ticks by timer, and encode it now if it may be the tick's."""
        self.hear(topic, msg)
        now, policy = self._now(), self.pilot.policy
        before, self._looked[topic] = self._looked.get(topic, now), now
        tick = self.health.last_tick_ns + self.spec.period_ns
        if not (self.active and policy.sees and last_before(tick, now, before)):
            return
        camera = next(c for c in self.spec.cameras if c.topic == topic)
        frame = self.aligner.picture(camera)
        try:
            if frame is not None:
                policy.see(camera.name, frame)
        except Exception as error:  # the tick will encode it itself
            self.outputs.log(f"camera {camera.name!r} was not encoded when it arrived: {error}")

    def instruct(self, topic: str, msg: Any) -> None:
        """An instruction begins an episode, also when it repeats the one before, unless the frames are to be kept."""
        self.hear(topic, msg)
        if not self._keep:
            self.pilot.reset()

    def describe(self, urdf: str) -> None:
        """A URDF: its joint limits narrow ours. The robot is held if nothing is left of them; QtxError says so."""
        with self.lock:
            try:
                self.pilot.narrow(joint_limits(urdf, positioned(self.spec)))
                self._unfit = ""
            except QtxError as error:
                self._unfit = str(error)
                raise

    def witness(self, stream: CommandStream, msg: Any) -> None:
        """Somebody commands the robot; while a human drives it is not this node."""
        with self.lock:
            if self._controls.human(self._now()):
                self.pilot.witness(stream, msg)

    # --- the tick ----------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Observe, let the network choose, publish. A tick that comes too late holds."""
        if not self.active:
            return
        watch = Stopwatch()
        with self.lock:
            back = self._set_back(now)
            self.health.tick(now)
            observation = self._observe(now)
            watch.lap("pictures")
            fault = "; ".join(filter(None, (back, self._unfit, self.pilot.judge(observation))))
            if self._controls.human(now):
                self._command(self.pilot.stand_by(self._standing_by()), now, observation)
                return
        choice = None
        if not fault and not self._controls.blocked(now):
            choice, fault = self._choose(observation)
        watch.lap("network")
        with self.lock:
            if self.active and not self._controls.human(self._now()):
                reason = self._controls.reason(fault, now)
                if choice is None and not reason:  # armed since the network was asked, or not
                    reason = ARMED
                command = self.pilot.hold(reason, now) if reason else self._settle(observation, choice, now)
                watch.lap("shape")
                self._command(command, now, observation, watch)

    def _choose(self, observation: Observation) -> tuple[Choice | None, str]:
        """The network's choice, or why there is none."""
        self._choosing = True
        try:
            choice = self.pilot.choose(observation)
        except Exception as error:  # whatever the network does, the robot gets a command
            self.outputs.log(f"the network failed: {error}")
            return None, f"the network failed: {type(error).__name__}"
        finally:
            self._choosing = False
        took = self._now() - observation.tick_ns
        if took > self._patience:
            return None, f"the network took {took / 1e6:.0f} ms, limit {self._patience / 1e6:.0f} ms"
        return choice, ""

    def _settle(self, observation: Observation, choice: Choice, now: int) -> Command:
        """The command for a choice, or a hold if it is none that the robot can be given."""
        try:
            return self.pilot.settle(observation, choice)
        except Exception as error:
            self.outputs.log(f"the network's choice is no command: {error}")
            return self.pilot.hold(f"the network's choice is no command: {error}", now)

    def _standing_by(self) -> str:
        """Why nothing is commanded; an emergency stop that the human drives over must be seen."""
        return "; ".join(filter(None, (HUMAN, self._controls.guard.latched)))

    def _observe(self, now: int) -> Observation:
        observation = self.aligner.observe(now)
        return dataclasses.replace(observation, instruction=self.instruction) if self.instruction else observation

    # --- beside the tick ---------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Hold when an input is stale or the ticks have stopped. Runs at the spec's rate."""
        with self.lock:
            if not self.active:
                return
            now = self._now()
            back = self._set_back(now)
            silence = now - max(self._since, self.health.last_tick_ns)
            if self._controls.human(now) or (silence <= self._patience and not back):
                return
            observation = self._observe(now)
            reason = back or self.pilot.judge(observation) or f"no tick for {silence / 1e6:.0f} ms"
            if self._choosing and not back:
                reason = f"the network has not answered for {silence / 1e6:.0f} ms"
            self._command(self.pilot.hold(self._controls.reason(reason, now), now), now, observation)

    def _set_back(self, now: int) -> str:
        """A sentence when the clock was set back since the last look; the watchdog then counts from `now`."""
        back = self._latest - now
        if back <= SET_BACK_NS:
            self._latest = max(self._latest, now)
            return ""
        self._since = self._latest = now
        self.health.pause()
        return f"the clock was set back by {back / 1e9:.1f} s"

    def hold_now(self) -> None:
        """Somebody stopped the robot: the next tick would be too late."""
        with self.lock:
            if self.active:
                now = self._now()
                self._halt(self._controls.reason("", now), now)

    def _halt(self, reason: str, now: int) -> None:
        """Command a hold between two ticks, where the robot is now and not where it was at the last one."""
        try:
            self.pilot.judge(self.aligner.observe(now, pictures=False))
        except Exception as error:  # whatever an input says, the robot gets a command
            self.outputs.log(f"the inputs could not be read before a hold: {error}")
        self._command(self.pilot.hold(reason, now), now)

    def fault(self) -> str:
        """What is wrong with the inputs at this moment."""
        with self.lock:
            problem = self.pilot.judge(self._observe(self._now())) if self.active else ""
            return "; ".join(filter(None, (self._unfit, problem)))

    def stream(self) -> None:
        """Send the command of this moment, between two ticks."""
        with self.lock:
            now = self._now()
            if self.active and not self._controls.human(now):
                self._send(self.pilot.at(now))

    # --- outputs -----------------------------------------------------------------------------------------------

    def _command(
        self, command: Command, tick_ns: int, observation: Observation | None = None, watch: Stopwatch | None = None
    ) -> None:
        """Send the command, then tell of it. The lock is held."""
        watch = watch or Stopwatch()
        self._send(self.pilot.at(self._now()) if self.pilot.streamed else command.values)
        watch.lap("publish")
        if self.outputs.tell(command, tick_ns, observation, watch.laps):
            reason = self.health.reason
            self.outputs.diagnose(self.active, self._explain(reason) if reason else "")

    def _send(self, values: np.ndarray) -> None:
        """Send values, float64 [D]; half-way between two rotations there may be none, then that moment gets nothing."""
        try:
            self.outputs.send(values)
        except QtxError as error:
            self.outputs.log(f"a command was not sent: {error}")

    def order(self, instruction: str) -> None:
        """An instruction as a parameter; as `instruct`."""
        self.instruction = instruction
        if not self._keep:
            self.pilot.reset()

    def diagnose(self) -> None:
        """Publish the health of the node, and what the ROS graph shows against hearing its inputs and people."""
        why = self._explain(self.health.reason) if self.active else ""  # takes its time: no tick waits for it
        with self.lock:
            self.outputs.diagnose(self.active, why)
