"""What people say to a driving policy: stop, re-arm, hold this button, be sure. Over ROS topics and services."""

import dataclasses
import time

import numpy as np
import pytest
from robot_stub import TEXT, begin, make, wait
from tiny_bundle import write_tiny_bundle

from qtx_ros import ros
from qtx_ros.nodes.policy_node import PolicyNode

ARM = "arm_controller/joint_trajectory"


class Person:
    """Presses buttons and calls services."""

    SERVICES = ("stop", "rearm", "pause", "resume")

    def __init__(self, robot):
        node = robot.node
        self._bool, self._joy = ros.message("std_msgs/msg/Bool"), ros.message("sensor_msgs/msg/Joy")
        self._stop = node.create_publisher(self._bool, "emergency_stop", 10)
        self._sticks = node.create_publisher(self._joy, "joy", 10)
        self._trigger = ros.service("std_srvs/srv/Trigger")
        self._clients = {name: node.create_client(self._trigger, f"policy/{name}") for name in self.SERVICES}
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


def test_an_emergency_stop_holds_where_the_robot_is_then_and_not_where_it_was_at_the_last_tick(start):
    _, robot, person = start()
    robot.running = False
    time.sleep(0.15)  # the last tick has commanded
    robot.positions["right_j1"] += 0.02
    robot.send_states()
    time.sleep(0.1)
    count = len(robot.commands[ARM])
    person.press(True)
    assert wait(lambda: len(robot.commands[ARM]) > count)
    np.testing.assert_allclose(robot.commands[ARM][count][:7], robot.state[:7])
    assert "emergency stop" in robot.holds()[-1].reason


def test_the_stop_service_latches_through_deactivation(start):
    node, robot, person = start()
    assert person.call("stop").success
    assert held(robot, "emergency stop by service ~/stop")
    node.trigger_deactivate()
    node.trigger_activate()
    robot.decisions.clear()
    assert held(robot, "emergency stop by service ~/stop") and not robot.choices()
    assert person.call("rearm").message == "armed" and drives(robot)


def test_a_rearm_in_the_middle_of_a_tick_holds_that_tick(start, monkeypatch):
    """The network is not asked while blocked; whoever re-arms before the command is made finds no choice."""
    node, robot, _ = start()
    monkeypatch.setattr(node.driver._controls, "blocked", lambda now: True)
    assert held(robot, "armed during this tick")
    monkeypatch.undo()
    assert drives(robot)


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
    assert result.successful and node.driver.pilot.max_step == 0.5


def test_a_word_that_low_confidence_does_not_know_is_refused(context, tmp_path, spec):
    node, _, spinner = make(context, tmp_path, spec, low_confidence="panic")
    node.trigger_configure()
    assert isinstance(node, PolicyNode) and "low_confidence is 'panic', expected one of off, hold, slow" in node.error
    spinner.close()


def test_a_pause_holds_until_it_is_resumed_and_is_no_fault(start):
    _, robot, person = start(latch_after=0.2)
    assert person.call("pause").success
    assert held(robot, "paused")
    count = len(robot.holds())
    assert wait(lambda: len(robot.holds()) > count + 10) and robot.holds()[-1].reason == "paused"
    assert person.call("resume").success and drives(robot)


def reload(robot, **fields):
    service = ros.service("qtx_ros/srv/Reload")
    client = robot.node.create_client(service, "policy/reload")
    assert wait(client.service_is_ready)
    future = client.call_async(service.Request(**fields))
    assert wait(future.done)
    return future.result()


def test_another_policy_takes_over_between_episodes_only(start, tmp_path, spec):
    node, robot, person = start()
    other = str(write_tiny_bundle(tmp_path / "other", spec, name="other"))
    assert reload(robot, bundle=other).message == "the robot is being driven: call ~/pause first"
    person.call("pause")
    assert held(robot, "paused")
    robot.begin_episode("e1")
    assert wait(lambda: "episode e1 is running" in reload(robot, bundle=other).message)
    robot.end_episode("e1")
    assert wait(lambda: reload(robot, bundle=other).success)
    assert node.driver.pilot.policy.manifest.name == "other"
    person.call("resume")
    assert drives(robot)


def test_a_policy_that_does_not_fit_is_refused_and_the_old_one_stays(start, tmp_path, spec):
    node, robot, person = start()
    person.call("pause")
    assert held(robot, "paused")
    slower = write_tiny_bundle(tmp_path / "slower", dataclasses.replace(spec, rate=5.0), name="slower")
    assert "does not fit robot" in reload(robot, bundle=str(slower)).message
    assert "is not a bundle" in reload(robot, bundle="/nowhere/bundle").message
    person.call("resume")
    assert drives(robot) and node.driver.pilot.policy.manifest.name == "tiny"


@pytest.mark.parametrize(("change", "fresh"), [("reset", True), ("keep", False)])
def test_a_new_instruction_may_keep_what_was_seen(start, change, fresh, monkeypatch):
    node, robot, _ = start(instruction_change=change)
    resets = []
    monkeypatch.setattr(node.driver.pilot, "reset", lambda: resets.append(1))
    robot.say("close the drawer")
    assert wait(lambda: robot.choices()[-1].instruction == "close the drawer")
    assert bool(resets) == fresh
