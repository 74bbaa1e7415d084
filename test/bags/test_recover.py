"""Damaged bags become readable ones: what is kept is right, what is lost is said, the original is not touched."""

import json
import os
import random
import resource
import shutil
import signal
import sqlite3

import pytest
import yaml
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2 import Reader, StoragePlugin
from rosbags.rosbag2 import Writer as Rosbag2

from qtx_ros.bags import lock
from qtx_ros.bags.labels import Label, add_label, read_labels
from qtx_ros.bags.reader import open_bag
from qtx_ros.bags.recover import recover, salvage
from qtx_ros.bags.writer import BagWriter, qos_profile
from qtx_ros.bench.bags import START_NS, TYPES, Script, build, definition, marked_messages
from qtx_ros.cli import main
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

STRING = "std_msgs/msg/String"
TOPICS = ("/a", "/b")
MESSAGES = 300


def text(i):
    return bytes(TYPES.serialize_cdr(build(STRING, {"data": f"{i} " + random.Random(i).randbytes(5000).hex()}), STRING))


def numbers(bag):
    """The numbers in the messages of a bag, as rosbags reads them; every byte of the messages is compared."""
    with Reader(bag) as reader:
        messages = [bytes(data) for _, _, data in reader.messages()]
    found = sorted(int(TYPES.deserialize_cdr(data, STRING).data.split()[0]) for data in messages)
    assert sorted(messages) == sorted(text(i) for i in found)
    return found


def our_bag(folder, name="bag", finish=True, split_bytes=0, messages=MESSAGES):
    writer = BagWriter(folder, name, split_bytes=split_bytes)
    for topic in TOPICS:
        writer.add_topic(topic, STRING, *definition(STRING), [qos_profile()])
    for i in range(messages):
        writer.write(TOPICS[i % 2], START_NS + i * 10_000_000, text(i))
    if finish:
        return writer.close()
    writer.flush()
    writer.release()
    return writer.hidden


def mcap_file(path, **options):
    with open(path, "wb") as file:
        writer = Writer(file, **{"chunk_size": 100_000} | options)
        writer.start("ros2", "somebody")
        schema = writer.register_schema(STRING, "ros2msg", b"string data")
        channels = [writer.register_channel(topic, "cdr", schema, {}) for topic in TOPICS]
        writer.add_attachment(1, 2, "notes.txt", "text/plain", b"calibrated")
        for i in range(MESSAGES):
            writer.add_message(channels[i % 2], START_NS + i, text(i), START_NS + i, i)
        writer.add_metadata("robot", {"arm": "left"})
        writer.finish()
    return path


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


def cut(path, at):
    os.truncate(path, at if at >= 0 else path.stat().st_size + at)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- MCAP ---


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.NONE},
        {"compression": CompressionType.ZSTD},
        {"compression": CompressionType.LZ4},
        {"use_chunking": False},
    ],
    ids=["plain", "zstd", "lz4", "unchunked"],
)
def test_a_file_cut_off_in_the_middle_keeps_all_before_the_cut(tmp_path, options):
    path = mcap_file(tmp_path / "run.mcap", **options)
    cut(path, path.stat().st_size * 6 // 10)
    before = path.read_bytes()
    found = recover(path)
    assert found.path == tmp_path / "run_recovered.mcap" and found.verified and path.read_bytes() == before
    kept = numbers(found.path)
    assert kept == list(range(len(kept))) and len(kept) > MESSAGES * 0.5
    assert found.kept == {"/a": (len(kept) + 1) // 2, "/b": len(kept) // 2}
    assert "what came after the recording was cut off is lost" in found.sentence
    with open(found.path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert [a.data for a in reader.iter_attachments()] == [b"calibrated"]
        assert len(reader.get_summary().chunk_indexes) > 0


def test_a_chunk_with_a_flipped_byte_is_left_out_counted_and_timed(tmp_path):
    bag = our_bag(tmp_path)
    file = bag / "bag_0.mcap"
    flip(file, file.read_bytes().index(text(150)) + 2000)
    before = content(bag)
    found = recover(bag)
    kept = numbers(found.path)
    gone = sorted(set(range(MESSAGES)) - set(kept))
    assert 150 in gone and gone == list(range(gone[0], gone[-1] + 1)) and content(bag) == before
    assert found.lost == {topic: len([i for i in gone if TOPICS[i % 2] == topic]) for topic in TOPICS}
    (loss,) = found.losses
    assert loss.messages == len(gone) and "checksum" in loss.reason
    assert loss.start_ns == START_NS + (gone[0] - 1) * 10_000_000
    assert loss.end_ns == START_NS + (gone[-1] + 1) * 10_000_000
    assert f"{len(gone)} messages are lost, in 1 place" in found.sentence


def test_damaged_messages_are_kept_when_asked_for(tmp_path):
    path = mcap_file(tmp_path / "run.mcap", compression=CompressionType.NONE)
    flip(path, path.read_bytes().index(text(150)) + 2000)
    assert sum(recover(path, tmp_path / "some.mcap").kept.values()) < MESSAGES
    found = recover(path, tmp_path / "all", keep_damaged=True)
    assert sum(found.kept.values()) == MESSAGES and len(found.losses) == 1


def test_any_one_flipped_byte_loses_at_most_a_chunk(tmp_path):
    path = mcap_file(tmp_path / "run.mcap", compression=CompressionType.ZSTD)
    whole = path.read_bytes()
    at_random = random.Random(3)
    for at in [3, 10, len(whole) - 20, *(at_random.randrange(len(whole)) for _ in range(12))]:
        path.write_bytes(whole)
        flip(path, at)
        found = recover(path, tmp_path / f"out{at}.mcap")
        kept = numbers(found.path)
        assert len(kept) >= MESSAGES - 25 and len(kept) == MESSAGES - sum(found.lost.values()), at


def test_descriptions_lost_with_the_first_chunk_come_from_the_summary(tmp_path):
    path = mcap_file(tmp_path / "run.mcap", compression=CompressionType.NONE)
    flip(path, path.read_bytes().index(b"string data"))
    found = recover(path)
    assert len(numbers(found.path)) > MESSAGES - 25
    with Reader(found.path) as reader:
        assert {c.msgdef.data for c in reader.connections} == {"string data"}


def test_without_a_summary_the_damaged_chunk_itself_describes_and_that_is_said(tmp_path):
    path = mcap_file(tmp_path / "run.mcap", compression=CompressionType.NONE)
    flip(path, path.read_bytes().index(text(0)) + 100)
    cut(path, -3000)
    found = recover(path)
    assert len(numbers(found.path)) > MESSAGES - 50
    assert any("only a damaged chunk describes /a, /b" in note for note in found.notes)


def test_swapped_chunks_and_files_without_checksums_are_taken_as_they_are(tmp_path):
    with Rosbag2(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/a", STRING, typestore=TYPES)
        for i in range(MESSAGES):
            writer.write(connection, START_NS + i, text(i))
    found = recover(tmp_path / "bag")
    assert numbers(found.path) == list(range(MESSAGES)) and found.intact
    assert any("no checksums" in note for note in found.notes)


def test_messages_that_are_not_of_ros_are_recovered_too(tmp_path):
    path = tmp_path / "2026.11.21.mcap"
    with open(path, "wb") as file:
        writer = Writer(file, chunk_size=1000)
        writer.start()
        channel = writer.register_channel("/a", "json", writer.register_schema("Pose", "jsonschema", b"{}"))
        for i in range(100):
            writer.add_message(channel, i, b'{"x": %d}' % i, i)
        writer.finish()
    cut(path, path.stat().st_size // 2)
    found = recover(path)
    assert found.path.name == "2026.11.21_recovered.mcap" and found.kept["/a"] > 30
    with open(found.path, "rb") as file:
        kept = [(s.encoding, c.message_encoding, m.data) for s, c, m in make_reader(file).iter_messages()]
    assert kept == [("jsonschema", "json", b'{"x": %d}' % i) for i in range(len(kept))]


# --- bag directories ---


def test_split_bags_keep_files_labels_parameters_and_custom_data(tmp_path):
    bag = our_bag(tmp_path, split_bytes=800_000)
    add_label(bag, Label(label="success"))
    (bag / "parameters.yaml").write_text("a: 1")
    information = yaml.safe_load((bag / "metadata.yaml").read_text())
    information["rosbag2_bagfile_information"]["custom_data"] = {"operator": "me"}
    (bag / "metadata.yaml").write_text(yaml.safe_dump(information))
    assert len(list(bag.glob("*.mcap"))) == 4
    cut(bag / "bag_1.mcap", 500_000)
    found = recover(bag)
    kept = numbers(found.path)
    assert len(list(found.path.glob("*.mcap"))) == 4 and 200 < len(kept) < MESSAGES
    assert sum(found.lost.values()) == MESSAGES - len(kept)  # metadata.yaml knew how many there were
    assert read_labels(found.path) == read_labels(bag)
    assert (found.path / "parameters.yaml").read_text() == "a: 1"
    with Reader(found.path) as reader:
        assert reader.storage.metadata.custom == {"operator": "me"}
        assert all(c.ext.offered_qos_profiles for c in reader.connections)
        assert {c.digest for c in reader.connections} == {definition(STRING)[1]}


HOSTILE = [
    "", "rosbag2_bagfile_information: [1, 2", "a: &a [*a]", "!!python/object/apply:os.system ['true']",
    "rosbag2_bagfile_information: {relative_file_paths: [../../etc/passwd, 3], topics_with_message_count: 5}",
    "x: &x [1,1]\n" + "".join(f"x{i}: &x{i} [*x{i - 1 if i else ''},*x{i - 1 if i else ''}]\n" for i in range(30)),
]  # fmt: skip


@pytest.mark.parametrize("said", [None, *HOSTILE], ids=range(7))
def test_metadata_yaml_may_be_missing_or_hostile(tmp_path, said):
    bag = our_bag(tmp_path)
    (bag / "metadata.yaml").unlink()
    if said is not None:
        (bag / "metadata.yaml").write_text(said)
    found = recover(bag)
    assert numbers(found.path) == list(range(MESSAGES)) and not found.lost


def test_compressed_files_and_messages_come_out_plain(tmp_path):
    import zstandard

    bag = our_bag(tmp_path)
    packed = zstandard.compress((bag / "bag_0.mcap").read_bytes())
    (bag / "bag_0.mcap").unlink()
    (bag / "bag_0.mcap.zstd").write_bytes(packed[: len(packed) * 3 // 4])
    found = recover(bag)
    kept = numbers(found.path)
    assert kept == list(range(len(kept))) and MESSAGES * 0.6 < len(kept) < MESSAGES
    with open(tmp_path / "m.mcap", "wb") as file:
        writer = Writer(file)
        writer.start("ros2")
        channel = writer.register_channel("/a", "cdr", writer.register_schema(STRING, "ros2msg", b"string data"))
        for i in range(5):
            writer.add_message(channel, START_NS + i, zstandard.compress(text(i)), START_NS + i)
        writer.finish()
    assert numbers(recover(tmp_path / "m.mcap").path) == list(range(5))


def test_a_missing_file_of_a_split_bag_is_a_loss(tmp_path):
    bag = our_bag(tmp_path, split_bytes=800_000)
    (bag / "bag_2.mcap").unlink()
    found = recover(bag)
    assert [loss.file for loss in found.losses] == ["bag_2.mcap"]
    assert sum(found.lost.values()) == MESSAGES - len(numbers(found.path)) > 50


# --- sqlite3 ---


def sqlite_bag(folder):
    with Rosbag2(folder / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/a", STRING, typestore=TYPES)
        for i in range(MESSAGES):
            writer.write(connection, START_NS + i, text(i))
    return folder / "bag", folder / "bag" / "bag.db3"


def test_rows_around_a_damaged_page_of_a_sqlite3_bag_are_kept(tmp_path):
    bag, file = sqlite_bag(tmp_path)
    data = bytearray(file.read_bytes())
    pages = [at for at in range(4096 * 20, len(data), 4096) if data[at] == 0x0D]  # leaves of a table
    data[pages[len(pages) // 2] : pages[len(pages) // 2] + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    found = recover(bag)
    kept = numbers(found.path)
    assert MESSAGES - 20 < len(kept) < MESSAGES and {0, MESSAGES - 1} <= set(kept)
    assert found.lost == {"/a": MESSAGES - len(kept)}


def test_a_sqlite3_bag_that_is_cut_off_keeps_what_is_there(tmp_path):
    bag, file = sqlite_bag(tmp_path)
    cut(file, file.stat().st_size // 2)
    kept = numbers(recover(bag).path)
    assert kept == list(range(len(kept))) and len(kept) > MESSAGES * 0.3


def test_what_sqlite_left_in_its_log_is_kept_and_the_log_is_not_touched(tmp_path):
    bag, file = sqlite_bag(tmp_path)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)", (START_NS, text(300)))
        database.commit()
        for name in ("bag.db3", "bag.db3-wal"):
            shutil.copy(bag / name, tmp_path / name)
    database.close()
    for name in ("bag.db3", "bag.db3-wal"):
        shutil.copy(tmp_path / name, bag / name)
    before = content(bag)
    assert numbers(recover(bag).path) == list(range(MESSAGES + 1))
    assert content(bag) == before


# --- the command ---


def test_the_command_prints_what_was_kept_and_lost_and_can_swap_the_names(tmp_path, capsys):
    bag = our_bag(tmp_path)
    flip(bag / "bag_0.mcap", 1_500_000)
    assert main(["recover", str(bag), "--in-place"]) == 0
    printed = capsys.readouterr().out
    assert "/a" in printed and "checksum does not match" in printed and "read back and found the same" in printed
    assert len(numbers(bag)) > 150 and (tmp_path / "bag_damaged" / "bag_0.mcap").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "bag_damaged"]


@pytest.mark.parametrize("garbage", [b"", b"\0" * 5000, random.Random(0).randbytes(5000)])
def test_nothing_readable_is_one_sentence_and_leaves_nothing(tmp_path, capsys, garbage):
    for name in ("x.mcap", "x.db3"):
        (tmp_path / name).write_bytes(garbage)
        assert main(["recover", str(tmp_path / name)]) == 1
        assert capsys.readouterr().err == f"qtx recover: {tmp_path / name} holds no message that can be read\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.db3", "x.mcap"]


def test_refusals_are_sentences(tmp_path):
    bag = our_bag(tmp_path)
    with pytest.raises(QtxError, match="bag_recovered exists already"):
        (tmp_path / "bag_recovered").mkdir()
        recover(bag)
    with pytest.raises(QtxError, match="there is no bag"):
        recover(tmp_path / "nothing")
    with pytest.raises(QtxError, match="holds no file of type .mcap or .db3"):
        recover(tmp_path / "bag_recovered")
    with lock.hold(bag), pytest.raises(QtxError, match="is being recorded right now"):
        recover(bag, tmp_path / "other")


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path):
    bag = our_bag(tmp_path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, old[1]))
    try:
        with pytest.raises(QtxError, match="cannot write .*bag_recovered: File too large"):
            recover(bag)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_a_disk_without_room_is_a_sentence_before_anything_is_written(tmp_path):
    hidden = our_bag(tmp_path, "dead", finish=False)
    before = content(tmp_path)
    (found,) = salvage(tmp_path, spare=1 << 60)
    assert found.failed and found.path is None and content(tmp_path) == before
    sentence = f"recovering {hidden} needs 3 MiB and {1 << 40} MiB to spare, {tmp_path} has "
    assert found.sentence.startswith(sentence) and found.sentence.endswith("to another disk with --out")
    assert recover(hidden, tmp_path / "elsewhere").kept == {"/a": 150, "/b": 150}


def test_whoever_follows_the_progress_can_end_it_also_while_it_reads_back(tmp_path):
    bag = our_bag(tmp_path)

    def give_up(done, total):
        if done == total:
            raise QtxError("somebody needs the disk")

    with pytest.raises(QtxError, match="somebody needs the disk"):
        recover(bag, progress=give_up)
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


# --- what a dead recorder left ---


def test_a_recording_that_was_cut_off_becomes_a_bag_with_a_comment_and_others_are_left_alone(tmp_path):
    our_bag(tmp_path, "good")
    good = content(tmp_path / "good")
    our_bag(tmp_path, "dead", finish=False)
    running = BagWriter(tmp_path, "running")
    empty = BagWriter(tmp_path, "empty")
    empty.release()
    (tmp_path / ".cache").mkdir()
    by_name = {found.source.name: found for found in salvage(tmp_path)}
    assert by_name.keys() == {".dead", ".empty"} and by_name[".empty"].path is None
    assert sorted(p.name for p in tmp_path.iterdir()) == [".cache", ".running", "dead", "good"]
    assert numbers(tmp_path / "dead") == list(range(MESSAGES)) and content(tmp_path / "good") == good
    (label,) = read_labels(tmp_path / "dead")
    assert label.label is None and label.by == "qtx recover" and "salvaged with 300 messages" in label.comment
    assert salvage(tmp_path) == []
    running.abort()


KILLED = """
import os, sys
from qtx_ros.bags import recover, recovery
module, name = {"recover": recover, "recovery": recovery}[sys.argv[2]], sys.argv[3]
setattr(module, name, lambda *a, **k: os.kill(os.getpid(), 9))
recover.salvage(sys.argv[1])
"""


@pytest.mark.parametrize(
    "moment", ["recovery verify", "recovery sync_folder", "recover _comment", "recover sync_folder"]
)
def test_a_salvage_that_is_killed_is_done_again_to_the_same_end(tmp_path, spawn, moment):
    our_bag(tmp_path, "dead", finish=False, messages=50)
    (tmp_path / ".dead" / "parameters.yaml").write_text("a: 1")
    assert spawn("-c", KILLED, tmp_path, *moment.split()).wait(60) == -signal.SIGKILL
    salvage(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["dead"]
    assert numbers(tmp_path / "dead") == list(range(50)) and len(read_labels(tmp_path / "dead")) == 1
    assert (tmp_path / "dead" / "parameters.yaml").exists()


def test_a_salvaged_episode_converts_as_truncated_and_unlabelled(tmp_path):
    spec = Spec.load("sawyer_sim")
    script = Script(spec, seconds=2.0, contract=True)
    writer = BagWriter(tmp_path, "episode")
    for item in marked_messages(script, "episode")[:-1]:  # no STOP
        writer.add_topic(item.topic, item.type, *definition(item.type), [qos_profile()])
        writer.write(item.topic, item.receive_ns, item.data)
    writer.flush()
    writer.release()
    (found,) = salvage(tmp_path)
    with open_bag(found.path) as bag:
        (mark,) = bag.marks()
        assert (mark.label, mark.stop_ns) == ("", None) and "salvaged" in mark.comment
    assert main(["convert", str(tmp_path), "-o", str(tmp_path / "set"), "--workers", "1"]) == 0
    (manifest,) = (tmp_path / "set").glob("*/manifest.json")
    said = json.loads(manifest.read_text())
    assert (said["terminated"], said["truncated"], said["label"]) == (False, True, "")
