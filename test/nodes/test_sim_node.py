import math

import numpy as np
import pytest
from own_domain import use_domain
from sim_world import Listener, start, stop

from qtx_ros import ros
from qtx_ros.data import messages


@pytest.fixture(scope="module")
def sim():
    use_domain(50)
    ros.init()
    process = start("sim", "--task", "drawer-open", "--seed", "3")
    listener = Listener()
    listener.spin(60, lambda: listener.on("camera/image_raw") or process.poll() is not None)
    assert listener.on("camera/image_raw"), stop(process)
    yield listener
    listener.close()
    ros.try_shutdown()
    assert "Traceback" not in stop(process)
    assert process.returncode == 0


def test_a_late_subscriber_hears_the_instruction(sim):
    assert sim.spin(5, lambda: sim.on("instruction"))
    assert sim.on("instruction")[0].data == "open the drawer"


def test_frames_and_joint_states_come_at_their_rates_with_stamps(sim):
    sim.reset("drawer-open", 3)
    sim.spin(3.0)
    frames, joints = sim.on("camera/image_raw"), sim.on("joint_states")
    for msgs, rate in ((frames, 20), (joints, 80)):
        stamps = np.array([messages.stamp_ns(msg) for msg in msgs]) * 1e-9
        assert (np.diff(stamps) > 0).all()
        assert rate / 2 < (len(stamps) - 1) / (stamps[-1] - stamps[0]) < rate * 1.1  # a loaded machine may be slower
    assert len(joints) == pytest.approx(4 * len(frames), rel=0.2)
    picture = messages.image(frames[-1], "sensor_msgs/msg/Image")
    assert picture.shape == (128, 128, 3) and picture.std() > 20
    assert frames[-1].header.frame_id
    assert joints[-1].name[-1] == "gripper" and len(joints[-1].velocity) == 8


def test_the_joint_state_of_a_frames_moment_comes_before_the_frame(sim):
    sim.reset("drawer-open", 3)
    sim.spin(1.0)
    published = {messages.stamp_ns(msg): when for topic, msg, when in sim.heard if topic == "joint_states"}
    frames = [(messages.stamp_ns(msg), when) for topic, msg, when in sim.heard if topic == "camera/image_raw"]
    matched = [(published[stamp], when) for stamp, when in frames if stamp in published]
    assert len(matched) > len(frames) // 2  # best effort: a loaded machine loses some
    assert all(joints < frame for joints, frame in matched)


def test_a_command_moves_the_named_joint_and_silence_holds_it(sim):
    sim.reset("drawer-open", 3)
    before = sim.joints()
    sim.command({"right_j0": before["right_j0"] + 0.1})
    sim.spin(0.5)
    after = sim.joints()
    assert after["right_j0"] - before["right_j0"] == pytest.approx(0.1, abs=0.01)
    assert after["right_j3"] == pytest.approx(before["right_j3"], abs=0.01)
    sim.spin(1.0)
    assert sim.joints()["right_j0"] == pytest.approx(after["right_j0"], abs=0.003)


@pytest.mark.parametrize("targets", [{"right_j0": math.nan}, {"right_j0": 0.5, "elbow": 0.1}, {"gripper": math.inf}])
def test_nonsense_commands_are_ignored(sim, targets):
    sim.reset("drawer-open", 3)
    before = sim.joints()
    sim.command(targets)
    sim.spin(0.4)
    assert sim.joints() == pytest.approx(before, abs=0.003)


def test_a_reset_by_instruction_changes_the_scene_and_tells_the_instruction(sim):
    reply = sim.reset("close the drawer", 11)
    assert reply.success and reply.seed == 11 and reply.instruction == "close the drawer"
    assert sim.spin(5, lambda: sim.on("sim/state"))
    assert len(sim.on("sim/state")[0].data) == 39
    assert sim.reset("open the window", -1).seed >= 0


def test_a_reset_to_an_unknown_task_is_refused_with_the_known_ones(sim):
    reply = sim.reset("make coffee", 0)
    assert not reply.success and "drawer-open" in reply.message


def test_events_say_that_nothing_is_done_yet(sim):
    sim.reset("drawer-open", 3)
    sim.spin(1.0)
    events = sim.on("step_event")
    assert len(events) >= 10
    assert all(event.reward == 0 and not event.terminal and event.episode == events[0].episode for event in events)


def test_the_experts_commands_over_the_wire_earn_the_reward_once(sim):
    sim.reset("drawer-open", 3)
    teleop = start("teleop", "--mode", "expert")
    try:
        assert sim.spin(60, lambda: any(event.success for event in sim.on("step_event")))
    finally:
        log = stop(teleop)
    sim.spin(0.5)
    events = sim.on("step_event")
    assert sum(event.reward for event in events) == 1.0
    assert events[-1].terminal and events[-1].success
    assert "open the drawer" in log


def test_a_robot_with_other_topics_is_refused():
    process = start("sim", "--robot", "six_joint")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"robot 'six_joint': cameras are" in output and b"Traceback" not in output
