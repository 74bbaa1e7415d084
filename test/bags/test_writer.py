"""Bags as other tools read them: files, chunks, splits, locks."""

import zlib

import pytest
import yaml
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Chunk, Message
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader

from qtx_ros.bags import lock
from qtx_ros.bags.writer import BagWriter, qos_profile
from qtx_ros.bench.bags import START_NS, TYPES, build, definition

STRING = "std_msgs/msg/String"


def text(value):
    return bytes(TYPES.serialize_cdr(build(STRING, {"data": value}), STRING))


def writer(folder, **options):
    made = BagWriter(folder, "bag", **options)
    for topic in ("/large", "/small"):
        made.add_topic(topic, STRING, *definition(STRING), [qos_profile(latched=topic == "/small")])
    return made


def fill(bag, count=40):
    """Large and small messages in turn, 10 ms apart."""
    for i in range(count):
        bag.write("/large", START_NS + i * 10**7, text(f"{i:06d}" + "x" * 100_000), START_NS)
        bag.write("/small", START_NS + i * 10**7 + 1, text(str(i)))


def read(path):
    with AnyReader([path]) as reader:
        return [(c.topic, at, reader.deserialize(data, c.msgtype).data[:6]) for c, at, data in reader.messages()]


def expected(count=40):
    pairs = ((("/large", i, f"{i:06d}"), ("/small", i, str(i))) for i in range(count))
    return [(topic, START_NS + i * 10**7 + (topic == "/small"), value) for pair in pairs for topic, i, value in pair]


def info(path):
    return yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]


def check_file(path, messages):
    """Index, statistics and checksums of one file."""
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary.statistics.message_count == messages == sum(1 for _ in reader.iter_messages())
        assert len(summary.chunk_indexes) == summary.statistics.chunk_count > 0
        (metadata,) = reader.iter_metadata()
    assert metadata.name == "rosbag2" and path.name in metadata.metadata["serialized_metadata"]
    with open(path, "rb") as file:
        records = list(StreamReader(file, validate_crcs=True).records)
    assert sum(isinstance(record, Message) for record in records) == messages


def test_what_is_written_is_what_others_read(tmp_path):
    bag = writer(tmp_path)
    fill(bag)
    path = bag.close()
    assert read(path) == expected()
    assert sorted(file.name for file in path.iterdir()) == ["bag_0.mcap", "metadata.yaml"]
    check_file(path / "bag_0.mcap", 80)


@pytest.mark.parametrize(("options", "files"), [({"split_bytes": 1 << 20}, 4), ({"split_ns": 150_000_000}, 3)])
def test_a_split_loses_nothing_and_metadata_lists_every_file(tmp_path, options, files):
    bag = writer(tmp_path, **options)
    fill(bag)
    path = bag.close()
    facts = info(path)
    assert read(path) == expected()
    assert facts["relative_file_paths"] == [f"bag_{i}.mcap" for i in range(files)]
    assert sum(file["message_count"] for file in facts["files"]) == facts["message_count"] == 80
    ends = [f["starting_time"]["nanoseconds_since_epoch"] + f["duration"]["nanoseconds"] for f in facts["files"]]
    starts = [f["starting_time"]["nanoseconds_since_epoch"] for f in facts["files"]]
    assert starts[0] == START_NS and all(end < start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] - starts[0] == facts["duration"]["nanoseconds"]
    for file in facts["files"]:
        check_file(path / file["path"], file["message_count"])


def test_a_topic_declared_after_a_split_is_there(tmp_path):
    bag = writer(tmp_path, split_bytes=1 << 20)
    fill(bag, 15)
    bag.add_topic("/late", STRING, *definition(STRING), [])
    bag.write("/late", START_NS + 10**9, text("here"))
    assert read(bag.close())[-1] == ("/late", START_NS + 10**9, "here")


def test_what_was_flushed_is_in_the_file_without_a_close(tmp_path):
    bag = writer(tmp_path)
    fill(bag, 5)
    bag.flush()
    fill(bag, 1)
    with open(tmp_path / ".bag" / "bag_0.mcap", "rb") as file, pytest.raises(EndOfFile):
        count = 0
        for record in StreamReader(file, validate_crcs=True).records:
            count += isinstance(record, Message)
    assert count == 10
    bag.abort()


def test_a_chunks_checksum_is_that_of_its_bytes(tmp_path):
    bag = writer(tmp_path)
    fill(bag, 3)
    path = bag.close()
    with open(path / "bag_0.mcap", "rb") as file:
        chunks = [r for r in StreamReader(file, emit_chunks=True).records if isinstance(r, Chunk)]
    assert [zlib.crc32(chunk.data) for chunk in chunks] == [chunk.uncompressed_crc for chunk in chunks]


def test_an_empty_bag_can_be_read(tmp_path):
    path = writer(tmp_path).close()
    assert read(path) == [] and info(path)["message_count"] == 0


def test_a_running_recording_is_locked_until_it_ends(tmp_path):
    bag = writer(tmp_path)
    assert lock.is_held(tmp_path / ".bag")
    path = bag.close()
    assert not (path / lock.LOCK_FILE).exists()
    bag = BagWriter(tmp_path, "other")
    bag.release()
    assert not lock.is_held(tmp_path / ".other")
