"""Messages of a bag are decoded only where somebody looks; damage there still fails the bag."""

import json
from dataclasses import replace

import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from qtx_ros.bags.late import Late
from qtx_ros.bags.marks import Mark
from qtx_ros.bags.reader import open_bag
from qtx_ros.bench.bags import TYPES, Script, script_messages
from qtx_ros.data import messages
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
SCRIPT = Script(SPEC, seconds=1.0)
JOINTS = "/joint_states"


def bag_of(folder, damage=lambda number, item: item.data):
    """A bag without checksums whose joint states went through `damage`."""
    writer, number = Writer(folder, version=9, storage_plugin=StoragePlugin.SQLITE3), -1
    with writer:
        connections = {}
        for item in script_messages(SCRIPT):
            if item.topic not in connections:
                connections[item.topic] = writer.add_connection(item.topic, item.type, typestore=TYPES)
            number += item.topic == JOINTS
            data = damage(number, item) if item.topic == JOINTS else item.data
            writer.write(connections[item.topic], item.receive_ns, data)
    return folder


def test_a_late_message_is_the_message(tmp_path):
    with open_bag(bag_of(tmp_path / "bag")) as bag:
        late = [(topic, msg) for topic, _, msg in bag.messages(SPEC, Mark())]
    assert sum(isinstance(msg, Late) for _, msg in late) > 150
    plain = [(item.topic.strip("/"), TYPES.deserialize_cdr(item.data, item.type)) for item in script_messages(SCRIPT)]
    for (topic, msg), (expected_topic, expected) in zip(late, plain, strict=True):
        assert topic == expected_topic and messages.stamp_ns(msg) == messages.stamp_ns(expected)
        if topic == "joint_states":
            assert msg.name == expected.name and (msg.position == expected.position).all()
            assert msg.header.frame_id == ""


def test_only_messages_at_ticks_are_decoded(tmp_path, monkeypatch):
    decoded = []
    decode = Late.__getattr__
    monkeypatch.setattr(Late, "__getattr__", lambda self, name: decoded.append(self) or decode(self, name))
    (row,) = convert([bag_of(tmp_path / "bag")], Options(tmp_path / "set", SPEC))
    rates = json.loads((tmp_path / "set" / "bag" / "manifest.json").read_text())["rates"]
    assert row.status == "converted" and rates["joint_states"] == pytest.approx(100, abs=1)
    assert len({id(message) for message in decoded}) <= 4 * (row.steps + 3)  # a frame, a state, a command, an event


@pytest.mark.parametrize("every", [1, 3])
def test_a_damaged_message_that_is_needed_fails_the_bag(tmp_path, every):
    def cut(number, item):
        return item.data[:40] if number % every == 0 and number > 30 else item.data

    (row,) = convert([bag_of(tmp_path / "bag", cut)], Options(tmp_path / "set", replace(SPEC, tick="timer")))
    assert row.status == "failed" and "JointState" in row.reason and JOINTS in row.reason
    assert not list((tmp_path / "set").glob("[!.]*/"))


def test_a_message_too_short_for_a_stamp_fails_the_bag(tmp_path):
    (row,) = convert([bag_of(tmp_path / "bag", lambda _, item: item.data[:9])], Options(tmp_path / "set", SPEC))
    assert row.status == "failed" and "JointState" in row.reason
