"""`qtx sim`: the simulated robot as a ROS 2 node, with the topics a real arm would have."""

from __future__ import annotations

import argparse
import time

import numpy as np

from qtx_ros import ros
from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.nodes import sim_messages
from qtx_ros.nodes.fields import time_message
from qtx_ros.nodes.run import run
from qtx_ros.sim.pacer import Pacer
from qtx_ros.sim.tasks import TASKS
from qtx_ros.spec import Spec

CHECK_NS = 5 * 10**9  # how often it is checked whether the simulation keeps up
TOLERATED = 0.05  # share of the time that may be lost without a warning
MAX_AHEAD = 1.0  # [s] a command may be stamped in the future


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robot", default="sawyer_sim", help="robot YAML, or the name of a shipped one (sawyer_sim)")
    parser.add_argument("--task", default="drawer-open", help=f"one of {', '.join(TASKS)}, or its instruction")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene")
    parser.add_argument("--speed", type=float, default=1.0, help="1: real time; otherwise publishes /clock")
    parser.add_argument("--image-size", type=int, default=128, metavar="PX", help="height and width (default 128)")


def main(args: argparse.Namespace) -> int:
    """Run the node until SIGINT or SIGTERM."""

    def make(context: ros.Context) -> SimNode:
        return SimNode(args.robot, args.task, args.seed, args.speed, args.image_size, context=context)

    return run(args.ros_args, make, finish=SimNode.finish)


class SimNode(ros.Node):
    """Steps the world on a timer; commands, resets and steps all run in the executor's one thread."""

    def __init__(self, robot="sawyer_sim", task="drawer-open", seed=0, speed=1.0, image_size=128, **options) -> None:
        """The arguments are the parameters' defaults; `--ros-args -p` overrides them."""
        from qtx_ros.sim.rollout import sub_steps  # MuJoCo takes a second to import
        from qtx_ros.sim.world import SUB_STEP, World

        super().__init__("sim", **options)
        self._declare(robot, task, seed, speed, image_size)
        self._spec = Spec.load(self._value("robot"))
        sim_messages.check(self._spec)
        self._sub_steps = sub_steps(self._spec)
        self._speed, self._size = self._value("speed"), self._value("image_size")
        self._world = World(self._value("task"), self._value("seed"))
        self._sub_step_ns = round(SUB_STEP * 1e9)
        self._total, self._episodes = 0, 0
        self._lost_ns, self._checked_ns = 0, time.monotonic_ns()
        self._create_publishers()
        (command,) = self._spec.commands
        self.create_subscription(ros.message(command.type), command.topic, self._on_command, 1)
        self.create_service(ros.service("qtx_ros/srv/Reset"), "~/reset", self._on_reset)
        self._pacer = Pacer(round(self._sub_step_ns / self._speed), time.monotonic_ns())
        steady = ros.steady_clock()  # also under use_sim_time: this node makes the time
        self._timer = self.create_timer(SUB_STEP / self._speed, self._on_timer, clock=steady)
        self._begin_episode()
        world = self._world
        self.get_logger().info(f"ready: {world.task.instruction!r}, seed {world.seed}, speed {self._speed:g}")

    # --- parameters and topics ---------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Free what OpenGL gave, in the thread that took it: at the interpreter's end it is too late."""
        self._world.close()

    def _declare(self, robot: str, task: str, seed: int, speed: float, image_size: int) -> None:
        def describe(text, **bounds):
            return ros.ParameterDescriptor(description=text, read_only=True, **bounds)

        speeds = [ros.FloatingPointRange(from_value=0.01, to_value=100.0, step=0.0)]
        sizes = [ros.IntegerRange(from_value=16, to_value=1024, step=1)]
        self.declare_parameter("robot", robot, describe("robot YAML, or the name of a shipped one"))
        self.declare_parameter("task", task, describe("the first episode's task: a name or an instruction"))
        self.declare_parameter("seed", seed, describe("the first episode's seed"))
        self.declare_parameter(
            "speed", float(speed), describe("1: real time; otherwise /clock is published", floating_point_range=speeds)
        )
        self.declare_parameter(
            "image_size", image_size, describe("height and width of the camera's images [px]", integer_range=sizes)
        )

    def _value(self, name: str):
        return self.get_parameter(name).value

    def _create_publishers(self) -> None:
        spec, best_effort = self._spec, ros.ReliabilityPolicy.BEST_EFFORT
        latched = ros.DurabilityPolicy.TRANSIENT_LOCAL

        def publisher(type, topic, **qos):
            return self.create_publisher(ros.message(type), topic, ros.QoSProfile(**qos))

        self._cameras = [publisher(c.type, c.topic, depth=5, reliability=best_effort) for c in spec.cameras]
        self._states = [publisher(s.type, s.topic, depth=10, reliability=best_effort) for s in spec.states]
        self._state = publisher(sim_messages.STATE_TYPE, sim_messages.STATE_TOPIC, depth=5, reliability=best_effort)
        self._events = publisher(spec.events.type, spec.events.topic, depth=10)
        self._instruction = publisher(spec.instruction.type, spec.instruction.topic, depth=1, durability=latched)
        self._clock_topic = publisher("rosgraph_msgs/msg/Clock", "/clock", depth=1) if self._speed != 1.0 else None

    # --- time --------------------------------------------------------------------------------------------------------

    def _now_ns(self) -> int:
        """The clock that stamps are in: the wall clock at speed 1, simulated time otherwise."""
        if self._clock_topic is None:
            return self.get_clock().now().nanoseconds
        return self._total * self._sub_step_ns

    def _on_timer(self) -> None:
        now = time.monotonic_ns()
        steps, lost = self._pacer.due(now)
        self._lost_ns += lost
        for _ in range(steps):
            self._step()
        if now - self._checked_ns > CHECK_NS:
            self._check_speed(now)

    def _check_speed(self, now: int) -> None:
        lost, since = self._lost_ns * 1e-9, (now - self._checked_ns) * 1e-9
        if lost > TOLERATED * since:
            self.get_logger().warning(f"cannot keep up with speed {self._speed:g}: lost {lost:.1f} of {since:.0f} s")
        self._lost_ns, self._checked_ns = 0, now

    def _step(self) -> None:
        before = self._world.success
        success = self._world.step()
        self._total += 1
        stamp_ns = self._now_ns()
        if self._clock_topic is not None:
            self._clock_topic.publish(ros.message("rosgraph_msgs/msg/Clock")(clock=time_message(stamp_ns)))
        for stream, states in zip(self._spec.states, self._states, strict=True):
            states.publish(sim_messages.STATES[stream.type](self._world, stamp_ns))
        frame_due = self._world.steps % self._sub_steps == 0
        if success != before or (frame_due and not success):
            self._events.publish(sim_messages.step_event(self._world, stamp_ns, float(success), self._episode))
        if frame_due:
            self._publish_frame(stamp_ns)

    def _publish_frame(self, stamp_ns: int) -> None:
        """The picture and the privileged numbers of the very moment that the last joint state was taken."""
        pictures = [self._world.render(self._size, self._size) for _ in self._cameras]
        self._state.publish(ros.message(sim_messages.STATE_TYPE)(data=self._world.privileged.tolist()))
        for camera, picture in zip(self._cameras, pictures, strict=True):
            camera.publish(sim_messages.image(picture, stamp_ns))

    def _begin_episode(self) -> None:
        self._episodes += 1
        self._episode = f"{self._world.task.name}-{self._world.seed}-{self._episodes}"
        self._instruction.publish(ros.message(self._spec.instruction.type)(data=self._world.task.instruction))
        if self._cameras:
            self._world.render(self._size, self._size)  # the first picture of a scene takes longer
        self._pacer.restart(time.monotonic_ns())

    # --- what the robot is told --------------------------------------------------------------------------------------

    def _on_command(self, msg) -> None:
        try:
            targets, duration = sim_messages.trajectory(msg)
            self._world.command(targets, self._remaining(msg, duration))
        except QtxError as error:
            self.get_logger().warning(f"command ignored: {error}", throttle_duration_sec=1.0)

    def _remaining(self, msg, duration: float) -> float:
        """Seconds until the point is to be reached: a stamp of zero means from now on."""
        stamp = messages.stamp_ns(msg)
        if stamp is None:
            return duration
        ahead = (stamp - self._now_ns()) * 1e-9
        if ahead > MAX_AHEAD:
            raise QtxError(f"it is stamped {ahead:.1f} s in the future: do sender and simulator use the same clock?")
        if ahead + duration < 0:
            raise QtxError(f"its point was to be reached {-ahead - duration:.3f} s ago")
        return ahead + duration

    def _on_reset(self, request, response):
        seed = request.seed if request.seed >= 0 else int(np.random.default_rng().integers(2**31))
        try:
            self._world.reset(request.task or None, seed)
        except QtxError as error:
            response.success, response.message = False, str(error)
            self.get_logger().warning(f"reset refused: {error}")
            return response
        self._begin_episode()
        response.success, response.seed, response.instruction = True, seed, self._world.task.instruction
        response.message = f"{self._world.task.name}, seed {seed}"
        self.get_logger().info(f"reset: {response.message}")
        return response
