"""A clock that is set while an episode runs: its messages stay in their order, and it is not accepted."""

import pytest
from recorder_inside import recorder_inside
from recorder_process import robot_on
from rosbags.highlevel import AnyReader

from qtx_ros import ros
from qtx_ros.bags.labels import Label, add_label
from qtx_ros.bags.reader import open_bag
from qtx_ros.data.convert import Options, convert
from qtx_ros.nodes.recorder_clock import RecordingClock
from qtx_ros.spec import Spec

MS = 1_000_000
SECOND = 1000 * MS


class Clocks:
    """A node's clock and a steady one."""

    def __init__(self, **options):
        self.node, self.steady, self.recording = 1000 * SECOND, 5 * SECOND, False
        self.time = RecordingClock(lambda: self.node, lambda: self.recording, steady=lambda: self.steady, **options)

    def start(self):
        self.time.now()
        self.recording = True

    def go_on(self, duration=SECOND):
        self.node += duration
        self.steady += duration


@pytest.mark.parametrize("step, said", [(-500, "back by 0.500 s"), (700, "ahead by 0.700 s")])
def test_an_episode_goes_on_steadily_and_the_step_is_said(step, said):
    clocks = Clocks()
    clocks.start()
    clocks.go_on()
    clocks.node += step * MS
    clocks.go_on()
    assert clocks.time.now() == 1002 * SECOND
    assert clocks.time.problem() == f"the clock was set {said}"
    clocks.node -= step * MS  # and set right again: the episode keeps it
    assert clocks.time.problem() == f"the clock was set {said}"
    clocks.recording = False
    assert clocks.time.now() == clocks.node and clocks.time.problem() == ""


def test_the_next_episode_begins_with_the_time_of_its_own():
    clocks = Clocks()
    clocks.node -= 500 * SECOND
    clocks.start()
    clocks.go_on()
    assert clocks.time.now() == 501 * SECOND and clocks.time.problem() == ""


def test_a_clock_that_is_disciplined_is_none_that_was_set():
    clocks = Clocks()
    clocks.start()
    clocks.node += 20 * MS
    assert clocks.time.problem() == ""


def test_a_pause_between_two_readings_is_no_step():
    clocks, pauses = Clocks(), [SECOND]

    def node_time():
        clocks.go_on(pauses.pop() if pauses else 0)
        return clocks.node

    clocks.time = RecordingClock(node_time, lambda: clocks.recording, steady=lambda: clocks.steady)
    clocks.start()
    pauses.append(SECOND)
    assert clocks.time.problem() == "" and clocks.time.now() == clocks.node


def test_simulated_time_is_followed_and_said_when_it_goes_back():
    clocks = Clocks(simulated=True)
    clocks.start()
    clocks.node += 100 * SECOND  # far faster than the steady clock
    assert clocks.time.now() == clocks.node and clocks.time.problem() == ""
    clocks.node -= 30 * SECOND
    assert clocks.time.now() == clocks.node and clocks.time.problem() == "the clock was set back by 30.000 s"


class SetClock:
    """A node's clock that somebody sets."""

    def __init__(self, clock):
        self._clock, self.set = clock, ros.Duration()

    def now(self):
        return self._clock.now() + self.set


def camera_stamps(bag):
    """Header stamps of the pictures [ns], in the order of the bag."""
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == "/camera/image_raw"]
        headers = [reader.deserialize(data, c.msgtype).header for c, _, data in reader.messages(connections)]
    return [header.stamp.sec * SECOND + header.stamp.nanosec for header in headers]


def test_a_clock_set_back_mixes_no_moments_and_the_episode_has_to_be_accepted(tmp_path, monkeypatch):
    with robot_on(63) as robot, recorder_inside(tmp_path) as node:
        clock = SetClock(node.get_clock())
        monkeypatch.setattr(node, "get_clock", lambda: clock)
        robot.wait(robot.everybody_listens)
        assert robot.call("start").success
        robot.play(1.0)
        clock.set = ros.Duration(seconds=-0.6)
        robot.play(1.0)
        robot.wait(lambda: robot.statuses and robot.statuses[-1].problems)
        stopped = robot.call("stop", label="success")
    (problem,) = stopped.problems
    assert problem.startswith("the clock was set back by 0.6")
    stamps = camera_stamps(tmp_path / "bags" / stopped.episode)
    assert len(stamps) > 20 and stamps == sorted(stamps)
    with open_bag(stopped.path) as bag:
        (mark,) = bag.marks()
    assert mark.start_ns < mark.stop_ns and mark.problems == (problem,)
    options = Options(tmp_path / "set", Spec.load(tmp_path / "robot.yaml"))
    (row,) = convert([stopped.path], options)
    assert row.status == "refused" and "the clock was set back" in row.reason
    add_label(stopped.path, Label(accept=True))
    (row,) = convert([stopped.path], options)
    assert row.status == "converted", row.reason
