"""The policy as a lifecycle node: frames and joint states in, joint commands out. It connects; the driver drives.

The camera's callback (or a timer) is the tick and may take as long as the network does; inputs, watchdog, controls and
services have callback groups of their own, so that a hold never waits for the network.
"""

from __future__ import annotations

import functools

from qtx_ros import ros
from qtx_ros.deploy.bundle import bundle_folder, for_robot, load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.nodes import policy_parameters as parameters
from qtx_ros.nodes import policy_topics as topics
from qtx_ros.nodes.connections import Connections
from qtx_ros.nodes.policy_controls import RELIABLE, Controls
from qtx_ros.nodes.policy_driver import Driver
from qtx_ros.nodes.policy_outputs import Outputs
from qtx_ros.spec import Spec

SUCCESS, FAILURE = ros.TransitionCallbackReturn.SUCCESS, ros.TransitionCallbackReturn.FAILURE


class PolicyNode(ros.LifecycleNode):
    """Loads a bundle when configured, drives while active, and commands a hold whenever it must not."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("policy", **node_arguments)
        self.error = ""  # why the last configure failed
        self.driver: Driver | None = None  # while configured
        self._episode = ""  # the running episode, as far as the recorder says
        self._profiles: dict = {}  # topic → QoS asked for
        self._ticking, self._inputs = ros.MutuallyExclusiveCallbackGroup(), ros.MutuallyExclusiveCallbackGroup()
        self._watching, self._streaming = ros.MutuallyExclusiveCallbackGroup(), ros.MutuallyExclusiveCallbackGroup()
        self._loading, self._seeing = ros.MutuallyExclusiveCallbackGroup(), ros.MutuallyExclusiveCallbackGroup()
        self._connections = Connections(self, self._inputs)
        self._controls = Controls(self, self._watching, self._hold_now, self._fault)
        reload = ros.service("qtx_ros/srv/Reload")
        self.create_service(reload, "~/reload", self._on_reload, callback_group=self._loading)
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._on_parameters)

    # --- lifecycle ---------------------------------------------------------------------------------------------

    def on_configure(self, _state):
        """Load the bundle and connect the topics; FAILURE with a sentence in the log when that cannot be."""
        try:
            self._configure()
        except QtxError as error:
            self.error = str(error)
            self.get_logger().error(self.error)
            self._disconnect()
            return FAILURE
        self.error = ""
        return SUCCESS

    def on_activate(self, _state):
        """Start to drive at the next tick."""
        self.driver.start()
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
        return self.driver is not None and self.driver.stop(reason)

    # --- configure ---------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        values = parameters.read(self)
        policy = self._load(values.bundle, Spec.load(values.robot) if values.robot else None, values)
        driver = Driver(policy, values, self._controls, lambda: self._now(), self._explain)
        self._connect(driver, values)
        self.driver = driver
        self.get_logger().info(policy.device_line)
        if not values.exploration().off:
            self.get_logger().warning(f"the policy explores: {values.exploration()}")

    def _load(self, bundle: str, robot: Spec | None, values: parameters.Values) -> Policy:
        loaded = load_bundle(bundle_folder(bundle))
        return Policy(for_robot(loaded, robot) if robot else loaded, values.device, values.threads)

    def _connect(self, driver: Driver, values: parameters.Values) -> None:
        spec, to = driver.spec, self._connections
        driver.outputs = Outputs(self, spec, driver.health, to, values.plots)
        for camera in spec.cameras:
            take, group = driver.hear, self._inputs
            if spec.tick in (camera.name, "timer"):
                take, group = (driver.look, self._seeing) if spec.tick == "timer" else (driver.frame, self._ticking)
            self._subscribe(camera, take, topics.NEWEST, group)
        for stream in spec.states:
            self._subscribe(stream, driver.hear, topics.RECENT, self._inputs)
        self._subscribe(spec.instruction, driver.instruct, topics.LATCHED, self._inputs)
        for stream in spec.commands:
            to.listen(stream.type, stream.topic, functools.partial(driver.witness, stream), RELIABLE)
        episode, description = (functools.partial(take, driver) for take in (self._on_episode, self._on_description))
        to.listen("qtx_ros/msg/EpisodeEvent", "episode/event", episode, RELIABLE)
        to.listen("std_msgs/msg/String", "robot_description", description, topics.LATCHED)
        self._controls.connect(spec, values.latch_after, values.deadman_button, to)
        period = spec.period_ns / 1e9
        to.timer(period, driver.watch, self._watching)
        to.timer(1.0, driver.diagnose, self._watching)
        if spec.tick == "timer":
            to.timer(period, lambda: driver.tick(self._now()), self._ticking)
        if values.output_rate:
            to.timer(1 / values.output_rate, driver.stream, self._streaming)

    def _subscribe(self, stream, callback, qos, group) -> None:
        self._profiles[stream.topic] = qos
        self._connections.listen(stream.type, stream.topic, functools.partial(callback, stream.topic), qos, group)

    def _disconnect(self) -> None:
        driver, self.driver = self.driver, None
        if driver is None:
            self._connections.close()
            return
        with driver.lock:  # no timer may use what goes away here
            self._connections.close()

    # --- callbacks that are not the driver's -------------------------------------------------------------------

    def _on_episode(self, driver: Driver, msg) -> None:
        if msg.event == msg.START:
            self._episode = msg.episode
            driver.pilot.reset()
        elif msg.event == msg.STOP:
            self._episode = ""

    def _on_description(self, driver: Driver, msg) -> None:
        try:
            driver.describe(msg.data)  # while the node is being configured, too: a latched one comes at once
        except QtxError as error:
            self.get_logger().error(str(error))

    def _on_parameters(self, changes):
        driver = self.driver
        for change in changes:
            if driver and change.name in parameters.DESCRIPTIONS and change.name not in parameters.LIVE:
                reason = f"{change.name} is read when the node is configured: clean it up first"
                return ros.SetParametersResult(successful=False, reason=reason)
        for change in changes:
            if driver and change.name == "instruction":
                driver.order(change.value)
            elif driver and change.name == "max_step":
                driver.pilot.max_step = change.value
        return ros.SetParametersResult(successful=True)

    def _on_reload(self, request, response):
        """Go on with another bundle of the same contract, between episodes."""
        try:
            policy = self._reload(request.bundle)
        except QtxError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, policy.device_line
        self.get_logger().warning(f"reload: {response.message}")
        return response

    def _reload(self, bundle: str) -> Policy:
        driver = self.driver
        if driver is None:
            raise QtxError("the node is not configured: it reads its bundle then")
        if self._episode:
            raise QtxError(f"episode {self._episode} is running: a policy changes between episodes only")
        values = parameters.read(self)
        policy = self._load(bundle or values.bundle, driver.spec, values)
        driver.replace(policy)
        return policy

    def _hold_now(self) -> None:
        driver = self.driver
        if driver:
            driver.hold_now()

    def _fault(self) -> str:
        driver = self.driver
        return driver.fault() if driver else ""

    def _explain(self, reason: str) -> str:
        driver = self.driver
        return topics.explain(self, driver.spec, self._profiles, reason) if driver else ""

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds
