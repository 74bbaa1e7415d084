"""Two robots and two policies in one process, each in its namespace; and a policy on simulated time."""

import contextlib
import threading
import time

import numpy as np
import pytest
from robot_stub import LATCHED, TEXT, Robot, Spinner, begin, wait
from tiny_bundle import write_tiny_bundle

from qtx_ros import ros
from qtx_ros.nodes.fields import time_ns
from qtx_ros.nodes.policy_node import PolicyNode

ARM = "arm_controller/joint_trajectory"
SIDES = {"left": 1.0, "right": -1.0}  # where each robot's joints are [rad]
URDF = "/shared/description"  # a description for both, under one absolute name
REACH = 0.15  # [rad] of one command


@contextlib.contextmanager
def joined(*words: str):
    """A context with ROS arguments of its own, as a process has them."""
    context = ros.Context()
    ros.init(args=["--ros-args", *words] if words else [], context=context)
    yield context
    ros.try_shutdown(context=context)


def drive(node) -> None:
    node.trigger_configure()
    assert not node.error
    node.trigger_activate()


@pytest.fixture
def pairs(context, tmp_path, spec):
    """`{side: (policy, robot)}`: both policies in one executor, the robots elsewhere."""
    bundle = str(write_tiny_bundle(tmp_path, spec))
    parameters = [ros.Parameter("bundle", value=bundle)]
    remap = ["--ros-args", "-r", f"robot_description:={URDF}"]
    options = {"context": context, "parameter_overrides": parameters, "cli_args": remap}
    policies = {side: PolicyNode(namespace=f"/{side}", **options) for side in SIDES}
    with contextlib.ExitStack() as stack:
        robots = {}
        for side, angle in SIDES.items():
            elsewhere = stack.enter_context(joined("-r", f"__ns:=/{side}"))
            robots[side] = Robot(spec, elsewhere, policy="policy")
            robots[side].positions = dict.fromkeys(spec.state_names, angle)
            stack.callback(Spinner(elsewhere, robots[side].node).close)
        stack.callback(Spinner(context, *policies.values()).close)
        for node in policies.values():
            drive(node)
        for robot in robots.values():
            robot.say(TEXT)
        for robot in robots.values():
            begin(robot)
        yield {side: (policies[side], robots[side]) for side in SIDES}


def test_each_policy_drives_the_robot_of_its_namespace(pairs):
    for side, (_, robot) in pairs.items():
        for command in robot.commands[ARM][-5:]:
            assert (np.abs(command[:7] - SIDES[side]) < REACH + 1e-6).all(), "the other robot's state or command"
    heard = pairs["left"][1].diagnostics
    assert wait(lambda: {"left: policy: drive", "right: policy: drive"} <= {status.name for status in list(heard)})


def test_an_emergency_stop_holds_the_robot_of_its_namespace_only(pairs):
    left, right = pairs["left"][1], pairs["right"][1]
    stop = left.node.create_publisher(ros.message("std_msgs/msg/Bool"), "emergency_stop", 10)
    assert wait(stop.get_subscription_count)
    stop.publish(ros.message("std_msgs/msg/Bool")(data=True))
    assert wait(lambda: left.decisions[-1].hold)
    count = len(right.choices())
    assert wait(lambda: len(right.choices()) > count + 3)
    assert left.decisions[-1].reason == "emergency stop by topic 'emergency_stop'"


def test_a_remapped_description_is_heard_by_both(pairs):
    robot = pairs["left"][1]
    publisher = robot.node.create_publisher(ros.message("std_msgs/msg/String"), URDF, LATCHED)
    joint = '<joint name="right_j0" type="revolute"><limit lower="-0.5" upper="0.5"/></joint>'
    publisher.publish(ros.message("std_msgs/msg/String")(data=f"<robot name='arm'>{joint}</robot>"))
    for side, (_, robot) in pairs.items():  # from ±1 rad back towards the limits, as far as one step goes
        back = SIDES[side] * (1.0 - 0.3)
        assert wait(lambda r=robot, b=back: r.commands[ARM][-1][0] == pytest.approx(b)), robot.commands[ARM][-1]


class Clock:
    """Publishes `/clock` at 100 Hz from a thread, twice as fast as real time, while it `runs`."""

    def __init__(self, context) -> None:
        self._node, self.runs, self.now_ns = ros.Node("clock", context=context), True, 1_000_000_000_000
        self._publisher = self._node.create_publisher(ros.message("rosgraph_msgs/msg/Clock"), "/clock", 10)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            if self.runs:
                self.now_ns += 20_000_000
                message = self._publisher.msg_type()
                message.clock.sec, message.clock.nanosec = divmod(self.now_ns, 10**9)
                self._publisher.publish(message)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._node.destroy_node()


@pytest.fixture
def simulated(tmp_path, spec):
    """(clock, robot) of a policy that drives on simulated time."""
    with joined("-p", "use_sim_time:=true") as context, joined() as real:
        clock = Clock(real)
        parameters = {"bundle": str(write_tiny_bundle(tmp_path, spec)), "instruction": TEXT}
        overrides = [ros.Parameter(name, value=value) for name, value in parameters.items()]
        node, robot = PolicyNode(context=context, parameter_overrides=overrides), Robot(spec, context)
        spinner = Spinner(context, node, robot.node)
        drive(node)
        begin(robot)
        yield clock, robot
        spinner.close()
        clock.close()


def test_simulated_time_stamps_decisions_and_stops_them(simulated):
    clock, robot = simulated
    assert 1_000 <= robot.decisions[-1].header.stamp.sec < 2_000
    clock.runs = False
    time.sleep(0.3)  # what was under way arrives
    count = len(robot.decisions)
    time.sleep(0.5)
    assert len(robot.decisions) == count, "nobody decides while time stands still"
    clock.runs = True
    assert wait(lambda: len(robot.choices()) > 3 and len(robot.decisions) > count + 3)
    assert abs(time_ns(robot.decisions[-1].header.stamp) - clock.now_ns) < 10 * 10**9


def test_a_clock_set_forward_during_a_fault_does_not_latch_it(simulated):
    clock, robot = simulated
    robot.contrast = 0
    assert wait(lambda: "shows nothing" in robot.decisions[-1].reason)
    clock.now_ns += 3600 * 10**9
    count = len(robot.holds())
    assert wait(lambda: len(robot.holds()) > count + 5)
    robot.contrast = 5
    count = len(robot.choices())
    assert wait(lambda: len(robot.choices()) > count + 3), robot.decisions[-1].reason
    assert not any("latched" in decision.reason for decision in robot.decisions)
