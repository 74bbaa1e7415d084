"""The scripted expert as a teleoperator: one command per camera frame, over the topics a person's teleop would use."""

from __future__ import annotations

import numpy as np

from qtx_ros import ros
from qtx_ros.deploy.safety import hold
from qtx_ros.nodes.robot_link import RobotLink
from qtx_ros.nodes.sim_messages import STATE_TOPIC, STATE_TYPE
from qtx_ros.spec import Spec

FRESHEST = ros.QoSProfile(depth=1, reliability=ros.ReliabilityPolicy.BEST_EFFORT)


class ExpertDriver:
    """Gives a node a scripted driver for the simulated robot. Drives while `operator` is set."""

    def __init__(self, node: ros.Node, spec: Spec) -> None:
        from qtx_ros.sim.world import World

        self._link = RobotLink(node, spec)
        self._order = [spec.state_names.index(name) for name in World.names]
        self._targets = [World.names.index(dimension.name) for dimension in spec.dimensions]
        self._privileged: np.ndarray | None = None
        self._experts: dict[str, object] = {}
        self._sent: np.ndarray | None = None  # the last command
        self.operator = None
        self.frames = 0  # camera frames seen
        self.commands = 0  # commands sent since `drive`
        node.create_subscription(
            ros.message(STATE_TYPE), STATE_TOPIC, self._on_state, FRESHEST
        )
        for camera in spec.cameras:
            node.create_subscription(ros.message(camera.type), camera.topic, self._on_frame, FRESHEST, raw=True)
        self._blind = not spec.cameras  # then the privileged numbers, sent as often as frames, say when

    def drive(self, task: str, mix: str, seed: int) -> None:
        """Drive from the next frame on, as an operator of `mix` (see `qtx_ros.sim.operators`) would do `task`."""
        from qtx_ros.sim.operators import Operator

        operator = Operator(self._expert(task), mix, np.random.default_rng(seed))
        self.commands, self.operator = 0, operator

    def pause(self) -> None:
        """Send no commands: the robot holds the last one."""
        self.operator = None

    def halt(self) -> None:
        """Pause; if it drove, the robot stays where it is, and absolute dimensions (a gripper) as last commanded."""
        state = self._link.state()
        if self.operator is not None and self._sent is not None and state is not None:
            self._link.send(hold(self._link.spec, state, self._sent))
        self.pause()

    def _expert(self, text: str):
        from qtx_ros.sim import scene
        from qtx_ros.sim.expert import Expert
        from qtx_ros.sim.tasks import find

        task = find(text)
        if task.name not in self._experts:
            self._experts[task.name] = Expert(task, scene.build(task), period=self._link.spec.period_ns * 1e-9)
        return self._experts[task.name]

    def _on_state(self, msg) -> None:
        self._privileged = np.array(msg.data, np.float64)
        if self._blind:
            self._on_frame(None)

    def _on_frame(self, _serialised) -> None:
        self.frames += 1
        state, operator = self._link.state(), self.operator
        if operator is None or state is None or self._privileged is None:
            return
        targets = operator.act(self._privileged, state[self._order])
        self._sent = targets[self._targets]
        self._link.send(self._sent)
        self.commands += 1
