"""What a topic did, and whether that is enough."""

import math

import pytest

from qtx_ros.bags.traffic import Limits, TopicTraffic, Traffic, limits
from qtx_ros.spec import Spec

MS = 1_000_000
SECOND = 1_000 * MS


ANY = Limits()


def topic(limits=ANY, every=20 * MS, until=2 * SECOND, skip=()):
    """A topic that came every 20 ms for two seconds, but for the times in `skip` [ms]."""
    made = TopicTraffic("/cam", "sensor_msgs/msg/Image", 0, limits)
    for at in range(every, until + 1, every):
        if not any(first <= at / MS < last for first, last in skip):
            made.heard(at, 100, at - 5 * MS)
    return made


def test_counts_bytes_ages_and_rate():
    heard = topic()
    heard.tick(2 * SECOND)
    assert (heard.messages, heard.bytes, heard.rate) == (100, 10_000, 50.0)
    heard.heard(2 * SECOND + 20 * MS, 100, 2 * SECOND)
    assert heard.age == pytest.approx(0.02) and heard.max_age == pytest.approx(0.02)
    heard.tick(3 * SECOND)
    assert heard.rate == 1.0


def test_without_a_stamp_there_is_no_age():
    heard = TopicTraffic("/t", "std_msgs/msg/String", 0)
    heard.heard(SECOND, 1)
    assert math.isnan(heard.age) and math.isnan(heard.max_age)


def test_a_message_that_stays_away_for_twice_its_time_left_a_gap():
    heard = topic(skip=[(1000, 1100), (1500, 1530)])
    assert heard.gaps == 2 and heard.max_gap(2 * SECOND) == pytest.approx(0.12)
    assert heard.silence(3 * SECOND) == 1.0 and heard.max_gap(3 * SECOND) == 1.0


def test_a_steady_topic_keeps_its_limits():
    assert topic(Limits(min_rate=50, max_gap=0.03, max_lost=0.0)).problems(2 * SECOND) == {}


def test_each_broken_limit_is_a_sentence_with_value_and_limit():
    heard = topic(Limits(min_rate=45, max_gap=0.25, max_lost=0.01), skip=[(1000, 1500)])
    heard.lost_wire, heard.lost_queue = 20, 5
    assert heard.problems(2 * SECOND) == {
        "min_rate": "/cam came at 37.5 Hz, min_rate is 45 Hz",
        "max_gap": "/cam was silent for 0.52 s, max_gap is 0.25 s",
        "max_lost": "/cam lost 25 messages (26 %), max_lost is 1 %",
    }


def test_the_first_second_is_not_judged_by_its_rate():
    assert "min_rate" not in TopicTraffic("/cam", "", 0, Limits(min_rate=10)).problems(SECOND // 2)


def test_a_topic_that_nobody_publishes_is_judged():
    traffic = Traffic(0, {"/cam": Limits(min_rate=10, max_gap=1.0)})
    assert set(traffic.problems(2 * SECOND)) == {("/cam", "min_rate"), ("/cam", "max_gap")}
    traffic.add("/late", "std_msgs/msg/String", SECOND)
    assert traffic.topics["/late"].silence(2 * SECOND) == 1.0


def test_limits_are_those_of_the_robots_file():
    found = limits(Spec.load("six_joint"))
    assert found["wrist/image_raw"] == Limits(9.0, 0.5, 0.01) and "hand/state" not in found
