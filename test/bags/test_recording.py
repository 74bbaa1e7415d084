"""What happens to an episode when the disk is slow or refuses."""

import time

import pytest
from rosbags.highlevel import AnyReader
from small_disk import files_no_larger_than

from qtx_ros.bags.recording import Recording
from qtx_ros.bench.bags import START_NS, TYPES, build, definition
from qtx_ros.errors import QtxError

STRING = "std_msgs/msg/String"


def recording(folder, **options):
    new = Recording(folder, "bag", **options)
    new.add_topic("/text", STRING, *definition(STRING), [])
    return new


def text(length):
    return bytes(TYPES.serialize_cdr(build(STRING, {"data": "x" * length}), STRING))


def test_what_is_written_is_what_is_read(tmp_path):
    bag = recording(tmp_path)
    for i in range(50):
        assert bag.write("/text", START_NS + i, text(i), START_NS)
    with AnyReader([bag.close()]) as reader:
        messages = [(at, reader.deserialize(data, c.msgtype).data) for c, at, data in reader.messages()]
    assert messages == [(START_NS + i, "x" * i) for i in range(50)]


def test_more_than_the_queue_holds_is_lost_and_counted_never_waited_for(tmp_path):
    bag = recording(tmp_path, capacity=1000)
    assert not bag.write("/text", START_NS, text(2000))
    assert bag.write("/text", START_NS, text(10))
    bag.close()
    assert bag.lost == {"/text": 1} and bag.counts == {"/text": 1}


def test_a_mark_finds_room_in_a_full_queue(tmp_path):
    bag = recording(tmp_path, capacity=0)
    assert not bag.write("/text", START_NS, text(10))
    bag.mark("/text", START_NS + 1, text(20))
    bag.close()
    assert bag.lost == {"/text": 1} and bag.counts == {"/text": 1}


def test_a_disk_that_refuses_is_an_error_at_the_end_and_losses_are_counted(tmp_path):
    with files_no_larger_than(3 << 20):
        bag = recording(tmp_path)
        until = time.monotonic() + 20
        while bag.error is None and time.monotonic() < until:
            bag.write("/text", START_NS, text(500_000))
            time.sleep(0.01)
        assert not bag.write("/text", START_NS, text(10))
        with pytest.raises(QtxError, match="File too large"):
            bag.mark("/text", START_NS, text(10))
        with pytest.raises(QtxError, match="cannot write .*File too large; what was written before is in"):
            bag.close()
    assert bag.lost["/text"] >= 1
    assert not bag.path.exists() and (tmp_path / ".bag" / "bag_0.mcap").stat().st_size > 1 << 20


def test_a_message_that_cannot_be_written_is_an_error_not_a_silent_end(tmp_path):
    bag = recording(tmp_path)
    bag.write("/text", -1, text(10))
    with pytest.raises(QtxError, match="cannot write"):
        bag.close()


def test_an_aborted_episode_leaves_nothing(tmp_path):
    bag = recording(tmp_path)
    bag.write("/text", START_NS, text(10))
    bag.abort()
    assert list(tmp_path.iterdir()) == []


def test_an_episode_is_never_overwritten(tmp_path):
    recording(tmp_path).close()
    with pytest.raises(QtxError, match="never overwritten"):
        recording(tmp_path)
