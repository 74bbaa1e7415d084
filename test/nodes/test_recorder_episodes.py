"""Which episode a label is given to, and that no mark is lost unsaid."""

import time

import pytest
from recorder_process import SPEC
from small_disk import files_no_larger_than

from qtx_ros import ros
from qtx_ros.bags.labels import read_labels
from qtx_ros.bags.reader import open_bag
from qtx_ros.errors import QtxError
from qtx_ros.nodes.recorder_episodes import Episodes

STRING = "std_msgs/msg/String"


def episodes(folder, announced=None, **options):
    said = [] if announced is None else announced
    return Episodes(folder, SPEC, time.time_ns, said.append, "/episode/event", min_free_mib=0, **options)


def start(recorder):
    return recorder.start("open the drawer", {"/text": (STRING, ())}, [])


def break_the_disk(recorder):
    """Write until the disk refuses."""
    large = ros.serialize(ros.message(STRING)(data="x" * 500_000))
    until = time.monotonic() + 20
    while recorder.running.error is None and time.monotonic() < until:
        recorder.running.write("/text", time.time_ns(), large)
        time.sleep(0.01)


def mark_of(bag):
    with open_bag(bag) as opened:
        (mark,) = opened.marks()
    return mark


def test_a_label_after_a_discarded_episode_does_not_reach_the_one_before(tmp_path):
    recorder = episodes(tmp_path)
    start(recorder)
    _, kept = recorder.stop("success")
    discarded = start(recorder)
    recorder.stop("discard")
    with pytest.raises(QtxError, match=f"no last episode to label, episode {discarded} was discarded"):
        recorder.label("failure")
    assert mark_of(kept).label == "success"
    assert recorder.label("failure", episode=kept.name) == kept.name  # who means it says so
    assert mark_of(kept).label == "failure"


def test_a_label_after_an_episode_that_the_disk_refused_does_not_reach_the_one_before(tmp_path):
    recorder = episodes(tmp_path)
    with pytest.raises(QtxError, match="no last episode to label, none was recorded yet"):
        recorder.label("success")
    start(recorder)
    _, kept = recorder.stop("success")
    with files_no_larger_than(1 << 20):
        refused = start(recorder)
        break_the_disk(recorder)
        with pytest.raises(QtxError, match="File too large"):
            recorder.stop("failure")
        with pytest.raises(QtxError, match=f"no last episode to label, episode {refused} could not be completed"):
            recorder.label("failure")
    assert mark_of(kept).label == "success" and read_labels(kept) == []


def test_marks_are_in_the_bag_though_the_queue_is_full(tmp_path):
    recorder = episodes(tmp_path, queue_mib=0)
    start(recorder)
    assert not recorder.running.write("/text", time.time_ns(), b"one byte is too much for this queue")
    recorder.label("failure", "slipped")
    _, bag = recorder.stop(problems=["the camera was silent"])
    mark = mark_of(bag)
    assert (mark.label, mark.comment, mark.problems) == ("failure", "slipped", ("the camera was silent",))
    assert mark.stop_ns is not None and not mark.accepted


def test_a_label_that_the_disk_refuses_is_refused(tmp_path):
    announced = []
    recorder = episodes(tmp_path, announced)
    with files_no_larger_than(1 << 20):
        start(recorder)
        break_the_disk(recorder)
        with pytest.raises(QtxError, match="File too large"):
            recorder.label("success")
        with pytest.raises(QtxError, match="File too large"):
            recorder.stop("success")
    assert [event.event for event in announced] == [1, 2]  # that it ended is said all the same
    assert recorder.running is None and start(recorder)
    recorder.stop("discard")
