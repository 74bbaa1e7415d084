"""Bags → training sets: our own, plain ones of every storage, other robots, broken ones."""

import json
import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from qtx_ros import cli
from qtx_ros.bags.labels import Label, add_label
from qtx_ros.bags.writer import BagWriter
from qtx_ros.bench.bags import START_NS, TYPES, Script, definition, marked_messages, script_messages, write_bag
from qtx_ros.data.align import Outcome
from qtx_ros.data.build import judge
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert
from qtx_ros.data.dataset import Dataset, Windows
from qtx_ros.data.storage import find_bags
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SAWYER = Spec.load("sawyer_sim")
SIX = Spec.load("six_joint")
SCRIPT = Script(SAWYER, seconds=2.0, contract=True, label="success", success_at=1.5)
PLAIN = replace(SCRIPT, contract=False, success_at=None)


def run(bags, out, spec=SAWYER, **options):
    return convert([bags] if not isinstance(bags, list) else bags, Options(out, spec, **options))


def episode(out, index=0):
    return Dataset.open(out, verify=True).episodes[index]


def plain_bag(folder, script, storage, mode=CompressionMode.NONE):
    """A bag as `ros2 bag record` writes it, without anything of ours inside."""
    writer = Writer(folder, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for item in script_messages(script):
            if item.topic not in connections:
                connections[item.topic] = writer.add_connection(item.topic, item.type, typestore=TYPES)
            writer.write(connections[item.topic], item.receive_ns, item.data)
    return folder


def test_our_bag_needs_nothing_but_its_path(tmp_path, capsys):
    write_bag(tmp_path / "bags", "first", SCRIPT)
    assert cli.main(["convert", str(tmp_path / "bags"), "-o", str(tmp_path / "set")]) == 0
    assert "1 episodes" in capsys.readouterr().out
    manifest = episode(tmp_path / "set").manifest
    facts = {key: manifest[key] for key in ("label", "instruction", "terminated", "truncated")}
    assert facts == {"label": "success", "instruction": SCRIPT.instruction, "terminated": True, "truncated": False}
    assert Windows(Dataset.open(tmp_path / "set")).batch([2])["frames"].shape == (3, 1, 64, 64, 3)


def test_a_success_ends_at_its_event_with_reward_one(tmp_path):
    run(write_bag(tmp_path, "bag", SCRIPT), tmp_path / "set")
    columns = episode(tmp_path / "set").columns
    assert columns.reward.tolist() == [0.0] * (len(columns.reward) - 1) + [1.0]
    end = (columns.tick[-1] - START_NS) / 1e9
    assert end < 1.502 <= end + 1 / SAWYER.rate + 0.02


def test_actions_are_the_next_command_relative_to_the_measured_state(tmp_path):
    run(write_bag(tmp_path, "bag", SCRIPT), tmp_path / "set")
    columns = episode(tmp_path / "set").columns
    received = {}
    for item in script_messages(SCRIPT):
        received.setdefault(item.topic, []).append((item.receive_ns, TYPES.deserialize_cdr(item.data, item.type)))
    for tick, following, state, action in zip(
        columns.tick[:-1], columns.tick[1:], columns.state, columns.action, strict=False
    ):
        joints = [msg for at, msg in received["/joint_states"] if at <= tick][-1]
        commands = [m for at, m in received["/arm_controller/joint_trajectory"] if tick < at <= following]
        wanted = commands[-1].points[-1].positions - np.append(joints.position[:7], 0)
        assert state == pytest.approx(joints.position, abs=1e-6)
        assert action == pytest.approx(wanted, abs=1e-6)


def test_a_camera_gap_makes_invalid_steps_and_is_never_filled(tmp_path):
    script = replace(SCRIPT, gap=(0.6, 1.0), success_at=None)
    run(write_bag(tmp_path, "bag", script), tmp_path / "set")
    stored = episode(tmp_path / "set")
    columns, hole = stored.columns, ~stored.columns.valid
    assert hole.sum() >= 5 and len(np.flatnonzero(np.diff(hole.astype(int)))) == 2
    assert np.isnan(columns.action[hole]).all() and np.isnan(columns.state[hole]).all()
    with pytest.raises(QtxError, match="invalid and has no frame"):
        stored.frame("front", int(np.flatnonzero(hole)[0]))
    assert list(stored.manifest["invalid"].values()) == [hole.sum()]
    assert "no frame for longer" in " ".join(stored.manifest["invalid"])


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        (StoragePlugin.SQLITE3, CompressionMode.NONE),
        (StoragePlugin.MCAP, CompressionMode.NONE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
    ],
)
def test_any_plain_bag_converts_alike(tmp_path, storage, mode):
    bag = plain_bag(tmp_path / "plain", PLAIN, storage, mode)
    ours = write_bag(tmp_path, "ours", PLAIN)
    rows = run([bag, ours], tmp_path / "set", label="failure")
    assert [row.status for row in rows] == ["converted", "converted"]
    first, second = (episode(tmp_path / "set", i) for i in range(2))
    assert first.manifest["label"] == "failure" and first.manifest["terminated"]
    for name in ("state", "action", "tick", "valid", "reward"):
        assert (getattr(first.columns, name) == getattr(second.columns, name)).all()
    assert (first.frame("front", 3) == second.frame("front", 3)).all()


def test_an_old_bag_without_message_definitions_converts(tmp_path):
    """Humble's sqlite3 bags carry none: the standard ones and ours are used."""
    bag = plain_bag(tmp_path / "bag", replace(PLAIN, success_at=1.5), StoragePlugin.SQLITE3)
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        assert database.execute("DELETE FROM message_definitions").rowcount > 0
    (row,) = run(bag, tmp_path / "set")
    assert (row.status, row.label) == ("converted", "success")


def test_what_comes_later_changes_no_earlier_observation(tmp_path):
    """No leak from the future: a recording cut short has the same steps as the whole one, up to the cut."""
    short = replace(SCRIPT, seconds=1.2, success_at=None)
    run([write_bag(tmp_path, "a", short), write_bag(tmp_path, "b", replace(short, seconds=2.0))], tmp_path / "set")
    cut, whole = (episode(tmp_path / "set", i) for i in range(2))
    count = len(cut) - 2  # the last steps have no whole period behind them
    assert count > 15
    for name in ("tick", "state", "action", "age"):
        assert (getattr(cut.columns, name)[:count] == getattr(whole.columns, name)[:count]).all()
    assert all((cut.frame("front", i) == whole.frame("front", i)).all() for i in range(count))


def test_topics_under_a_namespace_are_found(tmp_path):
    rows = run(write_bag(tmp_path, "bag", replace(SCRIPT, namespace="left/arm")), tmp_path / "set")
    assert rows[0].status == "converted"


def test_a_second_robot_converts_with_nothing_but_its_yaml(tmp_path):
    bag = plain_bag(tmp_path / "bag", Script(SIX, seconds=2.0), StoragePlugin.MCAP)
    rows = run(bag, tmp_path / "set", SIX, label="success")
    assert rows[0].status == "converted" and rows[0].steps >= 18 and rows[0].invalid == 0
    batch = Windows(Dataset.open(tmp_path / "set"), steps=2).batch([4])
    assert batch["frames"].shape == (5, 2, 48, 64, 3)
    assert batch["state"].shape == (5, 7) and batch["bins"].shape == (1, 7)
    assert (np.diff(episode(tmp_path / "set").columns.tick) == SIX.period_ns).all()


def test_converting_twice_changes_nothing_and_a_new_label_converts_anew(tmp_path):
    bag = write_bag(tmp_path, "bag", SCRIPT)
    run(bag, tmp_path / "set")
    before = (tmp_path / "set" / "bag" / "manifest.json").stat().st_mtime_ns
    assert run(bag, tmp_path / "set")[0].status == "unchanged"
    assert (tmp_path / "set" / "bag" / "manifest.json").stat().st_mtime_ns == before
    add_label(bag, Label(label="failure", comment="the button did not light up"))
    assert run(bag, tmp_path / "set")[0].status == "converted"
    assert episode(tmp_path / "set").manifest["label"] == "failure"
    assert not episode(tmp_path / "set").columns.reward.any()
    add_label(bag, Label(label="discard"))
    assert run(bag, tmp_path / "set")[0].status == "discarded"
    assert json.loads((tmp_path / "set" / "dataset.json").read_text())["episodes"] == []


def test_one_broken_bag_is_a_row_and_the_others_are_converted(tmp_path, capsys):
    bags = tmp_path / "bags"
    cut, good = write_bag(bags, "cut", SCRIPT), write_bag(bags, "good", SCRIPT)
    file = cut / "cut_0.mcap"
    file.write_bytes(file.read_bytes()[:-5000])
    assert cli.main(["convert", str(cut), str(good), "-o", str(tmp_path / "set"), "--workers", "1"]) == 1
    output = capsys.readouterr().out
    assert f"failed: {cut}: cannot read the bag {cut}: the recording was cut off" in output
    assert len(Dataset.open(tmp_path / "set")) == 1


def test_a_flipped_byte_is_found(tmp_path):
    bag = write_bag(tmp_path, "bag", SCRIPT)
    data = bytearray((bag / "bag_0.mcap").read_bytes())
    data[len(data) // 2] ^= 1
    (bag / "bag_0.mcap").write_bytes(data)
    row = run(bag, tmp_path / "set")[0]
    assert row.status == "failed" and "damaged" in row.reason
    assert [p.name for p in (tmp_path / "set").glob("[!.]*")] == ["dataset.json"]


@pytest.mark.parametrize(
    ("topic", "ahead", "said"),
    [
        ("camera/image_raw", 0.5, "camera 'front' has a clock ahead of the receiver's"),
        ("joint_states", -2.0, "state 'joint_states' has a clock behind the receiver's"),
        ("step_event", -2.0, "event topic 'step_event' has a clock behind the receiver's"),
    ],
)
def test_a_clock_that_is_off_is_refused(tmp_path, topic, ahead, said):
    row = run(write_bag(tmp_path, "bag", replace(SCRIPT, clock_ahead={topic: ahead})), tmp_path / "set")[0]
    assert row.status == "failed" and said in row.reason


def test_a_bag_with_several_marked_episodes_gives_several(tmp_path):
    """As `ros2 bag record --all` leaves it when the recorder was driven beside it."""
    parts = [
        replace(SCRIPT, instruction="open", start_ns=START_NS),
        replace(SCRIPT, instruction="close", start_ns=START_NS + 10**10, label="failure", success_at=None),
    ]
    writer = BagWriter(tmp_path, "all")
    for number, part in enumerate(parts):
        for item in marked_messages(part, f"episode{number}"):
            writer.add_topic(item.topic, item.type, *definition(item.type), [])
            writer.write(item.topic, item.receive_ns, item.data)
    rows = run(writer.close(), tmp_path / "set")
    assert [(row.episode, row.label) for row in rows] == [("all.episode0", "success"), ("all.episode1", "failure")]
    manifests = [e.manifest for e in Dataset.open(tmp_path / "set").episodes]
    assert [m["instruction"] for m in manifests] == ["open", "close"]
    assert episode(tmp_path / "set", 1).columns.tick[0] > START_NS + 10**10


def test_a_bag_without_marks_is_split_as_asked(tmp_path, capsys):
    """Two parts with another instruction each and a silence between them."""
    writer = BagWriter(tmp_path, "plain")
    for number, text in enumerate(["open", "close"]):
        part = replace(PLAIN, seconds=1.0, instruction=text, start_ns=START_NS + number * 5 * 10**9)
        for item in script_messages(part):
            writer.add_topic(item.topic, item.type, *definition(item.type), [])
            writer.write(item.topic, item.receive_ns, item.data)
    bag = writer.close()
    assert [row.episode for row in run(bag, tmp_path / "whole")] == ["plain"]
    for split in ("gap:2", "instruction"):
        out = tmp_path / split
        assert [row.episode for row in run(bag, out, split=split)] == ["plain.000", "plain.001"]
        assert [e.manifest["instruction"] for e in Dataset.open(out).episodes] == ["open", "close"], split
    run(bag, tmp_path / "gap:2")
    assert [e.folder.name for e in Dataset.open(tmp_path / "gap:2").episodes] == ["plain"]
    assert cli.main(["convert", str(bag), "-o", str(tmp_path / "x"), "--split", "moon"]) == 1
    assert "moon" in capsys.readouterr().err


def test_a_missing_or_wrong_topic_is_named(tmp_path):
    bag = write_bag(tmp_path, "bag", PLAIN)
    assert "has no topic 'overview/image/compressed', it has /arm_controller" in run(bag, tmp_path / "a", SIX)[0].reason
    cameras = (replace(SAWYER.cameras[0], type="sensor_msgs/msg/CompressedImage"),)
    reason = run(bag, tmp_path / "b", replace(SAWYER, cameras=cameras))[0].reason
    assert "'/camera/image_raw' is sensor_msgs/msg/Image, robot 'sawyer_sim' says" in reason


def test_a_bag_without_contract_needs_a_robot(tmp_path):
    bag = write_bag(tmp_path, "bag", PLAIN)
    with pytest.raises(QtxError, match="--robot"):
        convert_by_cli(bag, tmp_path / "set")


def convert_by_cli(bag, out):
    import argparse

    from qtx_ros.data import convert as module

    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.main(parser.parse_args([str(bag), "-o", str(out)]))


def test_another_contract_is_refused_unless_a_robot_is_named(tmp_path):
    bag = write_bag(tmp_path, "bag", SCRIPT)
    other = replace(SAWYER, history=5)
    assert "--robot" in run(bag, tmp_path / "a", other)[0].reason
    assert run(bag, tmp_path / "b", other, any_contract=True)[0].status == "converted"
    with pytest.raises(QtxError, match="another robot description"):
        run(bag, tmp_path / "b")


def test_bags_of_one_name_do_not_overwrite_each_other(tmp_path):
    bags = [write_bag(tmp_path / "good", "run", SCRIPT), write_bag(tmp_path / "bad", "run", replace(SCRIPT, seed=1))]
    run(bags, tmp_path / "set")
    assert [e.folder.name for e in Dataset.open(tmp_path / "set").episodes] == ["bad_run", "good_run"]
    other = write_bag(tmp_path / "later", "good_run", replace(SCRIPT, seed=2))
    run(other, tmp_path / "set")
    assert len(Dataset.open(tmp_path / "set")) == 3


def test_a_processes_pool_gives_the_same_rows(tmp_path):
    bags = [write_bag(tmp_path, f"bag{i}", replace(SCRIPT, seconds=0.5, success_at=None)) for i in range(2)]
    rows = convert(bags, Options(tmp_path / "set", SAWYER), workers=2)
    assert [(row.episode, row.status) for row in rows] == [("bag0", "converted"), ("bag1", "converted")]


def test_folders_of_bags_are_searched(tmp_path):
    write_bag(tmp_path, "b", replace(SCRIPT, seconds=0.2))
    shutil.copy(tmp_path / "b" / "b_0.mcap", tmp_path / "a.mcap")
    assert find_bags([tmp_path]) == [str(tmp_path / "a.mcap"), str(tmp_path / "b")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(QtxError, match="holds none"):
        find_bags([tmp_path / "empty"])


NOTHING, WON, ENDED, CUT = Outcome(), Outcome(1.0, success=True), Outcome(terminal=True), Outcome(truncated=True)


@pytest.mark.parametrize(
    ("outcomes", "label", "expected"),
    [
        ([NOTHING, WON, NOTHING], "", ("success", 2, True, False)),
        ([NOTHING, WON, NOTHING], "success", ("success", 2, True, False)),
        ([NOTHING, WON, NOTHING], "failure", ("failure", 3, True, False)),
        ([NOTHING, NOTHING], "success", ("success", 2, True, False)),
        ([NOTHING, ENDED, NOTHING], "", ("failure", 2, True, False)),
        ([NOTHING, CUT, NOTHING], "", ("", 2, False, True)),
        ([NOTHING, CUT, NOTHING], "failure", ("failure", 2, True, True)),
        ([NOTHING, NOTHING], "", ("", 2, False, True)),
    ],
)
def test_how_an_episode_ends(outcomes, label, expected):
    facts = judge(outcomes, label)
    assert (facts["label"], facts["stop"], facts["terminated"], facts["truncated"]) == expected


def test_definitions_of_our_types_hash_as_ros_2_does():
    assert definition("sensor_msgs/msg/Image")[1].startswith("RIHS01_")
