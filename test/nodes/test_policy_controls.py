"""What people say to a driving policy: stop, re-arm, hold this button, be sure. Over ROS topics and services."""

import numpy as np
import pytest
from robot_stub import TEXT, begin, make, wait

from qtx_ros import ros
from qtx_ros.nodes.policy_node import PolicyNode

ARM = "arm_controller/joint_trajectory"


class Person:
    """Presses buttons and calls services."""

    def __init__(self, robot):
        node = robot.node
        self._bool, self._joy = ros.message("std_msgs/msg/Bool"), ros.message("sensor_msgs/msg/Joy")
        self._stop = node.create_publisher(self._bool, "emergency_stop", 10)
        self._sticks = node.create_publisher(self._joy, "joy", 10)
        self._trigger = ros.service("std_srvs/srv/Trigger")
        self._clients = {name: node.create_client(self._trigger, f"policy/{name}") for name in ("stop", "rearm")}
        self.held = None  # the dead-man's button; None: the joystick is silent
        node.create_timer(0.05, self._play)
        assert wait(self._stop.get_subscription_count)

    def press(self, pressed):
        self._stop.publish(self._bool(data=pressed))

    def call(self, name):
        assert wait(self._clients[name].service_is_ready)
        future = self._clients[name].call_async(self._trigger.Request())
        assert wait(future.done)
        return future.result()

    def _play(self):
        if self.held is not None:
            self._sticks.publish(self._joy(axes=[], buttons=[0, 0, int(self.held)]))


def held(robot, sentence):
    return wait(lambda: robot.holds() and sentence in robot.holds()[-1].reason and robot.decisions[-1].hold)


def drives(robot):
    count = len(robot.choices())
    return wait(lambda: len(robot.choices()) > count + 2)


@pytest.fixture
def start(context, tmp_path, spec):
    """`start(**parameters)`: a driving node, its robot and a person."""
    spinners = []

    def go(waits=True, **parameters):
        node, robot, spinner = make(context, tmp_path, spec, **parameters)
        spinners.append(spinner)
        node.trigger_configure()
        node.trigger_activate()
        robot.say(TEXT)
        if waits:
            begin(robot)
        return node, robot, Person(robot)

    yield go
    for spinner in spinners:
        spinner.close()


def test_an_emergency_stop_holds_until_it_is_let_go_and_somebody_rearms(start):
    _, robot, person = start()
    person.press(True)
    assert held(robot, "emergency stop by topic 'emergency_stop'")
    count = len(robot.choices())
    assert wait(lambda: np.allclose(robot.commands[ARM][-1][:7], robot.state[:7]))
    refused = person.call("rearm")
    assert not refused.success and refused.message == "the emergency stop is still pressed"
    person.press(False)
    assert wait(lambda: person.call("rearm").success)
    assert len(robot.choices()) == count or robot.decisions[-1].hold is False
    assert drives(robot)


def test_the_stop_service_latches_through_deactivation(start):
    node, robot, person = start()
    assert person.call("stop").success
    assert held(robot, "emergency stop by service ~/stop")
    node.trigger_deactivate()
    node.trigger_activate()
    robot.decisions.clear()
    assert held(robot, "emergency stop by service ~/stop") and not robot.choices()
    assert person.call("rearm").message == "armed" and drives(robot)


def test_a_fault_that_lasts_holds_until_somebody_rearms(start):
    _, robot, person = start(latch_after=0.3)
    robot.blind = True
    assert held(robot, "latched after 0.3 s: camera 'front' is")
    refused = person.call("rearm")
    assert not refused.success and refused.message.startswith("something is still wrong: camera 'front'")
    robot.blind, count = False, len(robot.choices())
    assert wait(lambda: robot.holds()[-1].reason.count("camera 'front'") == 1)  # the fault is over, the latch is not
    assert len(robot.choices()) == count
    assert person.call("rearm").success and drives(robot)


def test_the_robot_drives_only_while_the_dead_mans_button_is_held(start):
    _, robot, person = start(waits=False, deadman_button=2)
    assert held(robot, "the dead-man button is unknown: the joystick is silent")
    person.held = False
    assert held(robot, "the dead-man button is not held") and not robot.choices()
    person.held = True
    assert drives(robot)
    person.held = None
    assert held(robot, "the joystick is silent")


def test_a_choice_that_is_not_sure_holds(start):
    _, robot, _ = start(waits=False, low_confidence="hold", min_margin=0.5)
    assert held(robot, "the network is not sure: its best two bins differ by")
    assert not robot.choices()


def test_what_was_read_when_configured_cannot_change_while_it_is(start):
    node, _, _ = start()
    (result,) = node.set_parameters([ros.Parameter("deadman_button", value=1)])
    assert not result.successful and "clean it up first" in result.reason
    (result,) = node.set_parameters([ros.Parameter("max_step", value=0.5)])
    assert result.successful and node.pilot.max_step == 0.5


def test_a_word_that_low_confidence_does_not_know_is_refused(context, tmp_path, spec):
    node, _, spinner = make(context, tmp_path, spec, low_confidence="panic")
    node.trigger_configure()
    assert isinstance(node, PolicyNode) and "low_confidence is 'panic', expected one of off, hold, slow" in node.error
    spinner.close()
