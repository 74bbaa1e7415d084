"""Walking damaged MCAP files: what is found before and after the damage, and what is said of it."""

import random

import pytest
from mcap.records import Channel, Schema
from mcap.writer import CompressionType, Writer

from qtx_ros.bags.chunks import Message
from qtx_ros.bags.scan import Scan, check, scan
from qtx_ros.errors import QtxError

MESSAGES = 400
LAYOUTS = {
    "plain": {"compression": CompressionType.NONE},
    "zstd": {"compression": CompressionType.ZSTD},
    "lz4": {"compression": CompressionType.LZ4},
    "unchunked": {"use_chunking": False},
}


def payload(i):
    return random.Random(i).randbytes(50) * 4


def write(path, summary=True, **options):
    options = {"chunk_size": 4096} | options
    if not summary:
        options |= {"repeat_channels": False, "repeat_schemas": False, "use_statistics": False}
    with open(path, "wb") as file:
        writer = Writer(file, **options)
        writer.start("ros2", "test")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channels = [writer.register_channel(topic, "cdr", schema, {"a": "b"}) for topic in ("/x", "/y")]
        writer.add_attachment(1, 2, "calibration", "text/plain", b"c" * 100)
        for i in range(MESSAGES):
            writer.add_message(channels[i % 2], i, payload(i), i, i)
        writer.finish()
    return path


@pytest.fixture(params=LAYOUTS)
def file(request, tmp_path):
    return write(tmp_path / "a.mcap", **LAYOUTS[request.param])


def found(path, **options):
    """Numbers of the messages that a walk gives, each checked, and its problems."""
    with Scan(path) as walk:
        messages = [entry for entry in walk.messages(**options) if isinstance(entry, Message)]
        assert all(bytes(m.data) == payload(m.log_ns) for m in messages)
        return [m.log_ns for m in messages], walk.problems


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


def test_a_sound_file_has_no_problems(file):
    assert found(file) == (list(range(MESSAGES)), [])
    assert check(file) == []


def test_schemas_and_channels_come_with_the_messages_and_from_the_summary(file):
    with scan(file) as walk:
        inside = [entry for entry in walk.messages() if isinstance(entry, (Schema, Channel))]
        assert {type(entry) for entry in inside} == {Schema, Channel}
        summary = [walk.parse(record) for record in walk.summary()]
        assert [entry for entry in summary if isinstance(entry, Channel)] == [inside[1], inside[2]]


def test_cut_off_anywhere_all_before_the_cut_is_found(file):
    whole = file.read_bytes()
    rng = random.Random(1)
    for cut in [0, 1, 8, 9, 20, *(rng.randrange(len(whole)) for _ in range(60)), len(whole) - 1]:
        file.write_bytes(whole[:cut])
        numbers, problems = found(file)
        assert numbers == list(range(len(numbers))) and len(problems) >= 1
        assert len(numbers) >= MESSAGES * (cut - 10_000) / len(whole)


def test_one_flipped_byte_costs_at_most_one_chunk_and_is_seen(file):
    whole = file.read_bytes()
    rng = random.Random(2)
    for _ in range(80):
        at = rng.randrange(len(whole))
        file.write_bytes(whole)
        flip(file, at)
        with Scan(file) as walk:
            numbers = [entry.log_ns for entry in walk.messages() if isinstance(entry, Message)]
        if walk.chunked:
            assert numbers == sorted(set(numbers)) and set(numbers) <= set(range(MESSAGES)), at
            assert len(numbers) == MESSAGES or walk.problems, at
        assert len(numbers) >= MESSAGES - 25, at


def test_problems_say_where_and_a_damaged_chunk_is_given_only_when_asked_for(tmp_path):
    path = write(tmp_path / "a.mcap", **LAYOUTS["plain"])
    at = path.read_bytes().index(payload(200))
    flip(path, at)
    numbers, problems = found(path)
    assert 200 not in numbers and len(numbers) > MESSAGES - 25
    (problem,) = problems
    assert problem.offset < at < problem.offset + problem.bytes
    assert str(problem) == f"byte {problem.offset}: a chunk cannot be used, its checksum does not match"
    with Scan(path) as walk:
        assert sum(isinstance(entry, Message) for entry in walk.messages(damaged=True)) == MESSAGES


@pytest.mark.parametrize("field", [1, 9 + 16, 9 + 40])  # length of the record, of the chunk unpacked, of its data
def test_absurd_lengths_are_refused_and_the_next_chunk_is_found(tmp_path, field):
    path = write(tmp_path / "a.mcap", **LAYOUTS["plain"])
    with Scan(path) as walk:
        chunk = [record for record in walk.records() if record.opcode == 6][3]
    data = bytearray(path.read_bytes())
    data[chunk.offset + field + 5] = 0x7F
    path.write_bytes(data)
    numbers, problems = found(path)
    assert len(problems) == 1 and problems[0].offset == chunk.offset
    assert MESSAGES - 25 <= len(numbers) < MESSAGES and numbers[-1] == MESSAGES - 1


def test_a_chunk_that_unpacks_to_more_than_it_declares_is_not_unpacked_further(tmp_path):
    path = tmp_path / "bomb.mcap"
    with open(path, "wb") as file:
        writer = Writer(file, compression=CompressionType.ZSTD, chunk_size=1 << 30)
        writer.start()
        writer.add_message(writer.register_channel("/x", "cdr", 0), 0, bytes(64 << 20), 0)
        writer.finish()
    with Scan(path) as walk:
        chunk = next(record for record in walk.records() if record.opcode == 6)
    data = bytearray(path.read_bytes())
    data[chunk.start + 16 : chunk.start + 24] = (1000).to_bytes(8, "little")
    path.write_bytes(data)
    with Scan(path) as walk:
        content = walk.content(chunk)
        assert len(content.data) == 1000 and content.problem == "it declares 1000 bytes and holds more"


def test_files_without_summary_or_magic_are_walked_too(tmp_path):
    path = write(tmp_path / "a.mcap", summary=False)
    assert found(path) == (list(range(MESSAGES)), [])
    flip(path, 0)
    numbers, problems = found(path)
    assert numbers == list(range(MESSAGES)) and problems[0].offset == 0


def test_something_else_altogether_has_problems_and_no_messages(tmp_path):
    path = tmp_path / "a.mcap"
    for content in (b"", b"not a bag", bytes(100_000), random.Random(0).randbytes(100_000)):
        path.write_bytes(content)
        assert found(path)[0] == [] and found(path)[1]
    with pytest.raises(QtxError, match="cannot read .*b.mcap: No such file"):
        Scan(tmp_path / "b.mcap")
