"""Which message belongs to which tick, worked out by hand. Times in milliseconds unless named otherwise."""

from types import SimpleNamespace as Message

import numpy as np
import pytest

from qtx_ros.data.align import Aligner, Ticker
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

MS = 1_000_000
T0 = 1_700_000_000_000  # [ms]


def spec(tick="timer", rate=10.0, **more) -> Spec:
    return Spec(
        name="toy",
        rate=rate,
        tick=tick,
        cameras=(Camera("front", "image", 2, 2, max_age=0.15),),
        states=(StateStream("joints", ("b", "a"), max_age=0.05),),
        commands=(
            CommandStream("arm", (ActionDimension("a", -1, 1, mode="delta"),), "sensor_msgs/msg/JointState"),
            CommandStream("grip", (ActionDimension("grip", -1, 1),), "std_msgs/msg/Float64MultiArray"),
        ),
        **more,
    )


def header(ms):
    ns = 0 if ms is None else (T0 + ms) * MS
    return Message(stamp=Message(sec=ns // 10**9, nanosec=ns % 10**9))


def image(ms, level=0):
    data = np.full(12, level, np.uint8)
    return Message(header=header(ms), encoding="rgb8", height=2, width=2, step=6, data=data)


def joints(ms, a=0.0, b=0.0):
    return Message(header=header(ms), name=["a", "b"], position=[a, b])


def event(ms, **more):
    fields = {"reward": 0.0, "success": False, "terminal": False, "truncated": False, **more}
    return Message(header=header(ms), **fields)


class Clocked(Aligner):
    """An aligner whose times are milliseconds after T0."""

    def at(self, ms, topic, msg):
        self.push(topic, (T0 + ms) * MS, msg)

    def see(self, ms):
        return self.observe((T0 + ms) * MS)

    def act(self, start, stop):
        return self.action((T0 + start) * MS, (T0 + stop) * MS)

    def outcome(self, start, stop):
        return self.events((T0 + start) * MS, (T0 + stop) * MS)


@pytest.fixture
def aligner():
    return Clocked(spec())


def test_observation_is_the_last_message_received_not_the_last_captured(aligner):
    aligner.at(40, "image", image(10, level=1))
    aligner.at(101, "image", image(60, level=2))  # captured before the tick at 100, received after it
    aligner.at(90, "joints", joints(89, a=1.0, b=2.0))
    aligner.at(100, "joints", joints(99, a=3.0, b=4.0))  # exactly at the tick counts
    seen = aligner.see(100)
    assert seen.problems == ()
    assert seen.frames["front"][0, 0, 0] == 1
    assert seen.state.tolist() == [4.0, 3.0]  # by name
    assert seen.ages_ns == {"image": 90 * MS, "joints": 1 * MS}
    assert seen.received_ns == {"image": (T0 + 40) * MS, "joints": (T0 + 100) * MS}
    assert seen.stamps_ns["image"] == (T0 + 10) * MS


def test_no_later_message_changes_an_observation(aligner):
    aligner.at(40, "image", image(10, level=1))
    aligner.at(90, "joints", joints(89, a=1.0))
    aligner.at(95, "instruction", Message(data="push"))
    before = aligner.see(100)
    aligner.at(101, "image", image(20, level=9))
    aligner.at(101, "joints", joints(99, a=9.0))
    aligner.at(101, "instruction", Message(data="pull"))
    after = aligner.see(100)
    assert (before.frames["front"] == after.frames["front"]).all()
    assert before.state.tolist() == after.state.tolist()
    assert (before.instruction, after.instruction) == ("push", "push")
    assert before.ages_ns == after.ages_ns


def test_a_stale_camera_is_a_problem_a_human_can_read(aligner):
    aligner.at(50, "image", image(0))
    aligner.at(300, "joints", joints(300))
    seen = aligner.see(312)
    assert seen.problems == ("camera 'front' is 312 ms old, limit 150 ms",)
    assert seen.frames == {} and np.isfinite(seen.state).all()


def test_a_silent_stream_is_a_problem_and_never_zero(aligner):
    aligner.at(50, "image", image(50))
    seen = aligner.see(60)
    assert seen.problems == ("state 'joints' has sent nothing yet on 'joints'",)
    assert np.isnan(seen.state).all()


def test_a_zero_stamp_counts_by_its_receive_time(aligner):
    aligner.at(50, "image", image(None))
    aligner.at(60, "joints", joints(None))
    seen = aligner.see(70)
    assert seen.problems == () and seen.ages_ns == {"image": 20 * MS, "joints": 10 * MS}
    assert seen.stamps_ns == {}


def test_a_message_that_does_not_fit_is_a_problem_not_a_crash(aligner):
    aligner.at(50, "image", Message(header=header(50), encoding="16UC1", height=2, width=2, step=4, data=bytes(8)))
    aligner.at(60, "joints", Message(header=header(60), name=["a"], position=[1.0]))
    seen = aligner.see(70)
    assert seen.problems == ("state 'joints' has no position of 'b', it has a",)
    aligner.at(65, "joints", joints(65))
    assert "16UC1" in aligner.see(70).problems[0]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39])  # the last is infinite as a float32
def test_not_a_number_in_the_state_is_a_problem(aligner, number):
    aligner.at(50, "image", image(50))
    aligner.at(60, "joints", joints(60, a=number))
    assert aligner.see(70).problems == ("state 'joints' holds NaN or infinity",)


@pytest.mark.parametrize(("ahead", "side"), [(120, "ahead of"), (-1500, "behind")])
def test_a_clock_that_is_off_is_a_problem(aligner, ahead, side):
    for ms in range(0, 100, 10):
        aligner.at(ms, "image", image(ms + ahead))
        aligner.at(ms, "joints", joints(ms))
    assert f"camera 'front' has a clock {side}" in aligner.see(95).problems[0]


def test_one_late_message_does_not_condemn_a_clock(aligner):
    for ms in range(0, 100, 10):
        aligner.at(ms, "image", image(ms - (2000 if ms == 20 else 3)))
        aligner.at(ms, "joints", joints(ms))
    assert aligner.see(95).problems == ()


def test_action_is_the_last_command_after_the_tick(aligner):
    aligner.at(90, "joints", joints(90, a=0.25))
    aligner.at(100, "arm", joints(None, a=0.75))  # at the tick: belongs to the step before
    aligner.at(100, "grip", Message(data=[0.5]))
    assert aligner.act(100, 200) is None
    aligner.at(110, "arm", joints(None, a=1.0))
    aligner.at(150, "joints", joints(150, a=0.9))  # measured after the tick: not the reference
    aligner.at(200, "arm", joints(None, a=0.5))
    aligner.at(200, "grip", Message(data=[-1.0]))
    aligner.at(201, "arm", joints(None, a=-9.0))
    assert aligner.act(100, 200).tolist() == [0.25, -1.0]
    assert aligner.act(0, 100) is None  # no state had been received at 0


def test_a_command_topic_that_was_silent_leaves_no_action(aligner):
    aligner.at(90, "joints", joints(90))
    aligner.at(150, "arm", joints(None, a=1.0))
    assert aligner.act(100, 200) is None


@pytest.mark.parametrize("broken", [[0.1, 0.2], [float("nan")]])
def test_a_broken_command_leaves_no_action(aligner, broken):
    aligner.at(90, "joints", joints(90))
    aligner.at(150, "arm", joints(None, a=1.0))
    aligner.at(150, "grip", Message(data=broken))
    assert aligner.act(100, 200) is None


def test_rewards_belong_to_the_moment_they_were_earned(aligner):
    aligner.at(100, "step_event", event(100, reward=1.0))  # the step before
    aligner.at(150, "step_event", event(150, reward=2.0))
    aligner.at(203, "step_event", event(200, reward=4.0, success=True))  # earned at 200, received just after
    aligner.at(210, "step_event", event(None, reward=8.0, truncated=True))
    outcome = aligner.outcome(100, 200)
    assert (outcome.reward, outcome.success, outcome.truncated) == (6.0, True, False)
    assert aligner.outcome(200, 300).reward == 8.0


def test_memory_is_bounded_and_the_newest_stays(aligner):
    for ms in range(0, 60_000, 5):
        aligner.at(ms, "image", image(ms))
    assert len(aligner._streams["image"].entries) <= 2 * 100 / 5 + 1
    aligner.at(120_000, "joints", joints(120_000))
    assert aligner.see(120_000).problems == ("camera 'front' is 60005 ms old, limit 150 ms",)


def test_a_clock_set_back_voids_the_past(aligner):
    aligner.at(5000, "image", image(5000, level=1))
    aligner.at(10, "image", image(10, level=2))
    aligner.at(10, "joints", joints(10))
    assert aligner.see(20).frames["front"][0, 0, 0] == 2


def test_a_topic_outside_the_spec_is_refused(aligner):
    with pytest.raises(QtxError, match="no topic 'other', it has image, joints"):
        aligner.at(0, "other", image(0))


def test_timer_grid_starts_when_the_last_required_topic_is_heard():
    ticker = Ticker(spec(rate=10.0))
    for ms, topic in ((0, "image"), (30, "image"), (70, "joints"), (80, "joints")):
        ticker.push(topic, ms * MS)
    assert ticker.before(70 * MS) == []
    assert ticker.before(271 * MS) == [70 * MS, 170 * MS, 270 * MS]
    assert ticker.before(371 * MS) == [370 * MS]


def test_camera_ticks_are_thinned_and_jitter_costs_no_frame():
    ticker = Ticker(spec(tick="front", rate=10.0))
    assert [ms for ms in range(0, 400, 33) if ticker.push("image", ms * MS)] == [0, 99, 198, 297, 396]
    ticker = Ticker(spec(tick="front", rate=10.0))
    assert all(ticker.push("image", ms * MS) for ms in (0, 80, 205, 290, 410))
    assert not ticker.push("joints", 900 * MS)


def test_a_silent_ticking_camera_owes_ticks():
    ticker = Ticker(spec(tick="front", rate=10.0))
    ticker.push("image", 0)
    assert ticker.missed(150 * MS) == []
    assert ticker.missed(420 * MS) == [100 * MS, 200 * MS, 300 * MS]
    assert ticker.push("image", 430 * MS)


@pytest.mark.parametrize(
    ("camera_hz", "jitter_ms", "expected_hz"),
    [(10, 15, 10), (10.2, 10, 10.2), (9.8, 10, 9.8), (15, 10, 10), (30, 5, 10)],
)
def test_camera_ticks_keep_the_rate_whatever_the_camera_does(camera_hz, jitter_ms, expected_hz):
    ticker, delays = Ticker(spec(tick="front", rate=10.0)), np.abs(np.random.default_rng(0).normal(0, jitter_ms, 1000))
    times = np.sort(np.arange(1000) * 1000 / camera_hz + delays)
    ticks = sum(ticker.push("image", int(time * 1e6)) for time in times)
    assert ticks / (1000 / camera_hz) == pytest.approx(expected_hz, rel=0.01)


def test_camera_ticks_go_by_header_stamps_not_by_arrival():
    ticker = Ticker(spec(tick="front", rate=10.0))
    arrivals = (40, 105, 201, 390, 401, 502)  # taken every 100 ms; the first and the fourth were held up on their way
    assert all(ticker.push("image", ms * MS, stamp * 100 * MS) for stamp, ms in enumerate(arrivals, 1))
