"""The policy as a lifecycle node: frames and joint states in, joint commands out.

The camera's callback (or a timer) is the tick and may take as long as the network does; inputs and the watchdog have
callback groups of their own, so that a hold never waits for the network.
"""

from __future__ import annotations

import dataclasses
import functools
import threading

from qtx_ros import ros
from qtx_ros.data.align import SET_BACK_NS, Aligner, Observation, Ticker
from qtx_ros.data.messages import stamp_ns
from qtx_ros.deploy.bundle import bundle_folder, for_robot, load_bundle
from qtx_ros.deploy.health import Health
from qtx_ros.deploy.pilot import Command, Pilot
from qtx_ros.deploy.policy import Choice, Policy
from qtx_ros.deploy.takeover import HUMAN
from qtx_ros.deploy.urdf import joint_limits
from qtx_ros.errors import QtxError
from qtx_ros.nodes import policy_parameters as parameters
from qtx_ros.nodes import policy_topics as topics
from qtx_ros.nodes.connections import Connections
from qtx_ros.nodes.policy_controls import RELIABLE, Controls
from qtx_ros.nodes.policy_outputs import Outputs
from qtx_ros.spec import Spec

SUCCESS, FAILURE = ros.TransitionCallbackReturn.SUCCESS, ros.TransitionCallbackReturn.FAILURE


class PolicyNode(ros.LifecycleNode):
    """Loads a bundle when configured, drives while active, and commands a hold whenever it must not."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("policy", **node_arguments)
        self.error = ""  # why the last configure failed
        self.active = False
        self._choosing = False  # the network is at work
        self._lock = threading.RLock()  # one command at a time: the tick's, the watchdog's, or a transition's
        self._profiles: dict = {}  # topic → QoS asked for
        self._ticking = ros.MutuallyExclusiveCallbackGroup()
        self._inputs = ros.MutuallyExclusiveCallbackGroup()
        self._watching = ros.MutuallyExclusiveCallbackGroup()
        self._streaming = ros.MutuallyExclusiveCallbackGroup()
        self._connections = Connections(self, self._inputs)
        self._controls = Controls(self, self._watching, self._hold_now, self._fault)
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._on_parameters)

    # --- lifecycle ---------------------------------------------------------------------------------------------

    def on_configure(self, _state):
        """Load the bundle and connect the topics; FAILURE with a sentence in the log when that cannot be."""
        try:
            self._load()
            self._connect()
        except QtxError as error:
            self.error = str(error)
            self.get_logger().error(self.error)
            self._disconnect()
            return FAILURE
        self.error = ""
        return SUCCESS

    def on_activate(self, _state):
        """Start to drive at the next tick."""
        with self._lock:
            self.pilot.reset()
            self._controls.reset()
            self._since = self._latest = self._now()
            self.active = True
        return SUCCESS

    def on_deactivate(self, _state):
        """Stop driving; the last command is a hold."""
        self.halt("the policy was deactivated")
        return SUCCESS

    def on_cleanup(self, _state):
        """Forget bundle and topics."""
        self._disconnect()
        return SUCCESS

    def on_shutdown(self, _state):
        """The last command is a hold."""
        self.halt("the policy shuts down")
        self._disconnect()
        return SUCCESS

    def on_error(self, _state):
        """The last command is a hold."""
        self.halt("the policy failed")
        self._disconnect()
        return SUCCESS

    def halt(self, reason: str) -> bool:
        """Command a hold if the node drives, and stop driving. True if it did."""
        with self._lock:
            if not self.active:
                return False
            now = self._now()
            self._publish(self.pilot.hold(reason, now), now)
            self.active = False
            self.health.pause()
        self._diagnose()
        return True

    # --- configure ---------------------------------------------------------------------------------------------

    def _load(self) -> None:
        values = parameters.read(self)
        bundle = load_bundle(bundle_folder(values.bundle))
        if values.robot:
            bundle = for_robot(bundle, Spec.load(values.robot))
        policy = Policy(bundle, values.device, values.threads)
        self.spec = policy.spec
        self.pilot = Pilot(policy, values.max_step, values.confidence())
        self.pilot.streamed = values.output_rate > 0
        self._values, self._unfit = values, ""  # why no URDF's limits leave anything to do
        self.instruction = values.instruction
        self.aligner, self._ticker = Aligner(self.spec), Ticker(self.spec)
        self.health = Health(policy.provider, self.spec.period_ns)
        # An observation older than this must not move the robot any more.
        self._patience = max(2 * self.spec.period_ns, *(round(c.max_age * 1e9) for c in self.spec.cameras))
        self.get_logger().info(policy.device_line)

    def _connect(self) -> None:
        spec = self.spec
        for camera in spec.cameras:
            ticks = camera.name == spec.tick
            self._subscribe(camera, self._on_frame if ticks else self._on_input, topics.NEWEST,
                            self._ticking if ticks else self._inputs)  # fmt: skip
        for stream in spec.states:
            self._subscribe(stream, self._on_input, topics.RECENT, self._inputs)
        self._subscribe(spec.instruction, self._on_instruction, topics.LATCHED, self._inputs)
        to = self._connections
        to.listen("qtx_ros/msg/EpisodeEvent", "episode/event", self._on_episode, RELIABLE)
        self._controls.connect(spec, self._values.latch_after, self._values.deadman_button, to)
        for stream in spec.commands:
            to.listen(stream.type, stream.topic, functools.partial(self._on_command, stream), RELIABLE)
        to.listen("std_msgs/msg/String", "robot_description", self._on_description, topics.LATCHED)
        self._outputs = Outputs(self, spec, self.health, to)
        period = spec.period_ns / 1e9
        to.timer(period, self._watch, self._watching)
        to.timer(1.0, self._diagnose, self._watching)
        if spec.tick == "timer":
            to.timer(period, lambda: self._tick(self._now()), self._ticking)
        if self.pilot.streamed:
            to.timer(1 / self._values.output_rate, self._stream, self._streaming)

    def _disconnect(self) -> None:
        with self._lock:  # no timer may use what goes away here
            self._connections.close()

    def _subscribe(self, stream, callback, qos, group) -> None:
        self._profiles[stream.topic] = qos
        self._connections.listen(stream.type, stream.topic, functools.partial(callback, stream.topic), qos, group)

    # --- inputs ------------------------------------------------------------------------------------------------

    def _on_input(self, topic, msg) -> None:
        self.aligner.push(topic, self._now(), msg)

    def _on_frame(self, topic, msg) -> None:
        """A frame of the camera that ticks."""
        now = self._now()
        self.aligner.push(topic, now, msg)
        if self._ticker.push(topic, now, stamp_ns(msg)):
            self._tick(now)

    def _on_instruction(self, topic, msg) -> None:
        """An instruction begins an episode, also when it repeats the one before."""
        self._on_input(topic, msg)
        self.pilot.reset()

    def _on_episode(self, msg) -> None:
        if msg.event == msg.START:
            self.pilot.reset()

    def _on_description(self, msg) -> None:
        """A URDF: its joint limits narrow ours. The robot is held if nothing is left of them."""
        try:
            with self._lock:
                self.pilot.narrow(joint_limits(msg.data))
                self._unfit = ""
        except QtxError as error:
            self._unfit = str(error)
            self.get_logger().error(self._unfit)

    def _on_command(self, stream, msg) -> None:
        """Somebody commands the robot; while a human drives it is not this node."""
        with self._lock:
            if self._controls.human(self._now()):
                self.pilot.witness(stream, msg)

    def _on_parameters(self, changes):
        for change in changes:
            if self._connections and change.name in parameters.DESCRIPTIONS and change.name not in parameters.LIVE:
                reason = f"{change.name} is read when the node is configured: clean it up first"
                return ros.SetParametersResult(successful=False, reason=reason)
            if change.name == "instruction":
                self.instruction = change.value
            elif change.name == "max_step" and hasattr(self, "pilot"):
                self.pilot.max_step = change.value
        return ros.SetParametersResult(successful=True)

    # --- the tick ----------------------------------------------------------------------------------------------

    def _tick(self, now: int) -> None:
        """Observe, let the network choose, publish. A tick that comes too late holds."""
        if not self.active:
            return
        with self._lock:
            back = self._set_back(now)
            self.health.tick(now)
            observation = self._observe(now)
            fault = "; ".join(filter(None, (back, self._unfit, self.pilot.judge(observation))))
            if self._controls.human(now):
                self._publish(self.pilot.stand_by(HUMAN), now, observation)
                return
        choice = None
        if not fault and not self._controls.blocked(now):
            choice, fault = self._choose(observation)
        with self._lock:
            if self.active and not self._controls.human(self._now()):
                reason = self._controls.reason(fault, now)
                command = self.pilot.hold(reason, now) if reason else self.pilot.settle(observation, choice)
                self._publish(command, now, observation)

    def _choose(self, observation: Observation) -> tuple[Choice | None, str]:
        """The network's choice, or why there is none."""
        self._choosing = True
        try:
            choice = self.pilot.choose(observation)
        except Exception as error:  # whatever the network does, the robot gets a command
            self.get_logger().error(f"the network failed: {error}", throttle_duration_sec=1.0)
            return None, f"the network failed: {type(error).__name__}"
        finally:
            self._choosing = False
        took = self._now() - observation.tick_ns
        if took > self._patience:
            return None, f"the network took {took / 1e6:.0f} ms, limit {self._patience / 1e6:.0f} ms"
        return choice, ""

    def _watch(self) -> None:
        """Hold when an input is stale or the ticks have stopped. Runs at the spec's rate beside the tick."""
        with self._lock:
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
            self._publish(self.pilot.hold(self._controls.reason(reason, now), now), now, observation)

    def _hold_now(self) -> None:
        """Somebody stopped the robot: the next tick would be too late."""
        with self._lock:
            if self.active:
                now = self._now()
                self._publish(self.pilot.hold(self._controls.reason("", now), now), now)

    def _fault(self) -> str:
        """What is wrong with the inputs at this moment."""
        with self._lock:
            return self.pilot.judge(self._observe(self._now())) if self.active else ""

    def _set_back(self, now: int) -> str:
        """A sentence when the clock was set back since the last look; the watchdog then counts from `now`."""
        back = self._latest - now
        if back <= SET_BACK_NS:
            self._latest = max(self._latest, now)
            return ""
        self._since = self._latest = now
        self.health.pause()
        return f"the clock was set back by {back / 1e9:.1f} s"

    def _observe(self, now: int) -> Observation:
        observation = self.aligner.observe(now)
        return dataclasses.replace(observation, instruction=self.instruction) if self.instruction else observation

    # --- outputs -----------------------------------------------------------------------------------------------

    def _publish(self, command: Command, tick_ns: int, observation: Observation | None = None) -> None:
        """Send the command, then tell of it. The lock is held."""
        self._outputs.send(self.pilot.at(self._now()) if self.pilot.streamed else command.values)
        if self._outputs.tell(command, tick_ns, observation):
            self._diagnose()

    def _stream(self) -> None:
        """Send the command of this moment, between two ticks."""
        with self._lock:
            if self.active and not self._controls.human(now := self._now()):
                self._outputs.send(self.pilot.at(now))

    def _diagnose(self) -> None:
        with self._lock:
            if self._connections:
                why = ""
                if self.active and self.health.reason:
                    why = topics.explain(self, self.spec, self._profiles, self.health.reason)
                self._outputs.diagnose(self.active, why)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds
