"""Bags of every storage and distribution are read as rosbags reads them, and refused in one sentence when damaged."""

import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import yaml
from mcap.writer import IndexType
from rosbags.highlevel import AnyReader

from qtx_ros.bags.marks import Mark
from qtx_ros.bags.parts import Part, Raw, Topic, merge
from qtx_ros.bags.reader import open_bag
from qtx_ros.bags.scan import Scan
from qtx_ros.bags.unzip import unzip_message
from qtx_ros.bench import bombs
from qtx_ros.bench.bags import START_NS, TYPES, Message, Script, build, definition, script_messages
from qtx_ros.bench.kinds import (
    DISTROS,
    KINDS,
    recording,
    small_spec,
    write_mcap,
    write_mcap_file,
    write_ours,
    write_sqlite,
)
from qtx_ros.errors import QtxError

SPEC = small_spec()
RECORDING = recording(SPEC)
IMAGE = "/camera/image_raw"
WHOLE = Mark()


def read(bag, spec=SPEC, mark=WHOLE):
    with open_bag(bag) as opened:
        return list(opened.messages(spec, mark))


def refused(bag, spec=SPEC):
    """The one sentence that reading all of a bag ends with."""
    with pytest.raises(QtxError) as caught:
        for _, _, msg in read(bag, spec):
            getattr(msg, "data", None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(path, change):
    """Change the text of a file."""
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bag_gives_what_rosbags_gives(kind, tmp_path):
    bag = KINDS[kind].write(tmp_path, "bag", RECORDING)
    with AnyReader([bag], default_typestore=TYPES) as reader:
        wanted = [(at, c.topic, TYPES.deserialize_cdr(data, c.msgtype)) for c, at, data in reader.messages()]
    wanted = [(at, topic, msg) for topic, at, msg in [(t, a, m) for a, t, m in wanted] if topic != "/episode/event"]
    got = read(bag)
    assert [(at, f"/{topic}") for topic, at, _ in got] == [(at, topic) for at, topic, _ in wanted]
    for (topic, _, msg), (_, _, other) in zip(got, wanted, strict=True):
        if topic == "camera/image_raw":
            assert np.array_equal(msg.data, other.data) and (msg.width, msg.encoding) == (other.width, other.encoding)
        if topic == "joint_states":
            assert np.array_equal(msg.position, other.position) and list(msg.name) == other.name


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("write", [write_mcap, write_sqlite])
def test_the_metadata_of_every_distribution_is_read(distro, write, tmp_path):
    bag = write(tmp_path, "bag", RECORDING, distro=distro, files=2)
    info = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert info["version"] == DISTROS[distro]
    assert len(read(bag)) == len(RECORDING) - 2
    with open_bag(bag) as opened:
        assert opened.start_ns == START_NS == RECORDING[0].receive_ns and opened.seconds > 0.5


def test_without_metadata_the_files_of_a_folder_are_the_bag(tmp_path):
    bag = write_mcap(tmp_path, "bag", RECORDING, files=3)
    (bag / "metadata.yaml").unlink()
    assert len(read(bag)) == len(RECORDING) - 2
    assert len(read(shutil.copy(bag / "bag_0.mcap", tmp_path / "part.mcap"))) > 10


@pytest.mark.parametrize("index", [IndexType.ALL, IndexType.NONE])
def test_a_summary_that_repeats_nothing_is_no_obstacle(index, tmp_path):
    options = {"repeat_channels": False, "repeat_schemas": False, "use_statistics": False, "use_summary_offsets": False}
    bag = write_mcap(tmp_path, "bag", RECORDING, compression="ZSTD", index_types=index, **options)
    assert len(read(bag)) == len(RECORDING) - 2


def test_the_checksum_of_the_whole_data_counts_where_chunks_have_none(tmp_path):
    file = write_mcap_file(tmp_path / "fast.mcap", RECORDING, use_chunking=False, enable_data_crcs=True)
    assert len(read(file)) == len(RECORDING) - 2
    data = bytearray(file.read_bytes())
    data[data.index(RECORDING[50].data) + 30] ^= 1
    file.write_bytes(data)
    assert "the checksum of all data before it does not match" in refused(file)


def test_files_that_overlap_in_time_come_in_order(tmp_path):
    bag = write_mcap(tmp_path, "bag", RECORDING[::2] + RECORDING[1::2], files=2)
    times = [at for _, at, _ in read(bag)]
    assert times == sorted(times) and len(times) == len(RECORDING) - 2


def test_only_what_overlaps_is_in_memory_together():
    open_now, most = set(), []
    topic = Topic("/a", "t", "cdr")

    def part(number):
        def messages(_):
            open_now.add(number)
            most.append(len(open_now))
            for at in range(10):
                yield Raw(number * 8 + at, topic, b"", None, "")
            open_now.discard(number)

        return Part(number * 8, number * 8 + 9, 1, {"/a"}, messages, (None, ""))

    times = [raw.receive_ns for raw in merge([part(n) for n in reversed(range(50))], {"/a"})]
    assert times == sorted(times) and len(times) == 500 and max(most) == 2


def test_an_episode_is_what_lies_between_its_marks(tmp_path):
    bag = write_ours(tmp_path, "bag", RECORDING)
    start, stop = START_NS + 200_000_000, START_NS + 400_000_000
    times = [at for _, at, _ in read(bag, mark=Mark("", start, stop))]
    assert times == [m.receive_ns for m in RECORDING[1:-1] if start <= m.receive_ns <= stop]


# --- definitions ---


def test_definitions_in_idl_are_understood(tmp_path):
    idl = "module std_msgs { module msg { struct String { string data; }; }; };"
    rule = "=" * 80
    text = f"{rule}\nIDL: std_msgs/msg/String\n{idl}\n"
    bag = write_sqlite(tmp_path, "bag", RECORDING, distro="jazzy")
    with sqlite3.connect(bag / "bag_0.db3") as database:
        change = "UPDATE message_definitions SET encoding = 'ros2idl', encoded_message_definition = ?"
        assert database.execute(f"{change} WHERE topic_type = 'std_msgs/msg/String'", (text,)).rowcount == 1
    database.close()
    assert [msg.data for topic, _, msg in read(bag) if topic == "instruction"] == ["push the button"]


def test_the_bags_own_definition_counts_and_may_know_more(tmp_path):
    more = definition("std_msgs/msg/String")[0] + "\nint32 further\n"
    define = lambda type: (more, "") if type == "std_msgs/msg/String" else definition(type)  # noqa: E731
    data = bytes(TYPES.serialize_cdr(build("std_msgs/msg/String", {"data": "abc"}), "std_msgs/msg/String"))
    longer = [replace(m, data=data + bytes(4)) if m.type == "std_msgs/msg/String" else m for m in RECORDING]
    bag = write_mcap(tmp_path, "bag", longer, define=define)
    assert [(msg.data, msg.further) for topic, _, msg in read(bag) if topic == "instruction"] == [("abc", 0)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("uint32 height", "string height"), "height is string, expected uint32"),
        (lambda text: text.replace("uint8[] data", "float32[] data"), "data is float32[], expected uint8[]"),
        (lambda text: text.replace("uint32 nanosec", ""), "header.stamp.nanosec is missing, expected uint32"),
        (lambda text: text.replace("uint32 step", "uint32[900000] step\nstring[900000] names"), "900000 entries"),
        (lambda text: text + "?", "cannot be understood"),
        (lambda text: "# " * (1 << 18), "at most 262144 are believed"),
    ],
)
def test_a_definition_that_is_not_what_its_name_says_names_file_topic_and_field(change, said, tmp_path):
    image = "sensor_msgs/msg/Image"
    define = lambda type: (change(definition(type)[0]), "") if type == image else definition(type)  # noqa: E731
    sentence = refused(write_ours(tmp_path, "bag", RECORDING, define=define))
    assert said in sentence and "bag_0.mcap" in sentence and f"topic {IMAGE!r}" in sentence


@pytest.mark.parametrize("hostile", bombs.DEFINITIONS)
def test_a_hostile_definition_is_a_sentence_and_one_of_another_topic_does_not_matter(hostile, tmp_path):
    text = bombs.DEFINITIONS[hostile]
    define = lambda type: (text(type), "") if type.startswith("demo") else definition(type)  # noqa: E731
    items = [*RECORDING, Message("/demo", "demo/msg/Demo", RECORDING[-1].receive_ns, bytes(64))]
    bag = write_ours(tmp_path, "bag", items, define=define)
    assert len(read(bag)) == len(RECORDING) - 2
    spec = replace(SPEC, instruction=replace(SPEC.instruction, topic="demo", type="demo/msg/Demo"))
    try:
        read(bag, spec)
    except QtxError as error:
        assert "demo/msg/Demo" in str(error)
    else:
        assert hostile in ("infinite", "keywords")  # these are strange, and valid


# --- damage ---


def test_a_flipped_byte_in_a_chunk_names_file_topic_and_offset(tmp_path):
    bag = write_ours(tmp_path, "bag", RECORDING)
    file = bag / "bag_0.mcap"
    with Scan(file) as scan:
        chunk = next(scan.chunk(r) for r in scan.records() if r.opcode == 6)
    data = bytearray(file.read_bytes())
    data[chunk.data_offset + chunk.size // 2] ^= 1
    file.write_bytes(data)
    sentence = refused(bag)
    assert f"{file} is damaged at byte {chunk.offset} on topic" in sentence and IMAGE in sentence
    assert "its checksum does not match; qtx recover" in sentence


def test_a_cut_file_says_so(tmp_path):
    bag = write_ours(tmp_path, "bag", RECORDING)
    (bag / "bag_0.mcap").write_bytes((bag / "bag_0.mcap").read_bytes()[:-1000])
    assert f"cannot read the bag {bag}: the recording was cut off before it was closed" in refused(bag)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("bag_1.mcap", "bag_7.mcap", 1), "the file 'bag_7.mcap' of the bag is missing"),
        (lambda text: text.replace("  - bag_1.mcap\n", ""), "the files have"),
        (lambda text: text.replace("sensor_msgs/msg/Image", "sensor_msgs/msg/Joy"), "it says sensor_msgs/msg/Joy"),
        (lambda text: text.replace(f"name: {IMAGE}", "name: /other"), "topic '/camera/image_raw': it counts 0"),
        (lambda text: text.replace("version: 9", "version: nine"), "version holds 'nine', expected int"),
        (lambda text: text.replace("identifier: mcap", "identifier: tape"), "'tape', expected mcap or sqlite3"),
        (lambda text: text.replace("compression_mode: ''", "compression_mode: MESSAGE"), "expected zstd"),
        (lambda text: "[" * 9999, "nested more than 40 deep"),
    ],
)
def test_metadata_that_does_not_agree_with_the_files_is_a_sentence(change, said, tmp_path):
    bag = write_mcap(tmp_path, "bag", RECORDING, files=2)
    rewrite(bag / "metadata.yaml", change)
    sentence = refused(bag)
    assert said in sentence and str(bag / "metadata.yaml") in sentence


def test_a_message_count_that_is_wrong_is_found(tmp_path):
    bag = write_sqlite(tmp_path, "bag", RECORDING)
    with sqlite3.connect(bag / "bag_0.db3") as database:
        database.execute("DELETE FROM messages WHERE id = 7")
    database.close()
    assert f"says it has {len(RECORDING)} messages, it has {len(RECORDING) - 1}" in refused(bag)


def test_a_broken_message_in_sqlite_names_its_row_and_topic(tmp_path):
    number, item = next((i, m) for i, m in enumerate(RECORDING) if m.topic == IMAGE)
    broken = [*RECORDING[:number], replace(item, data=item.data[:40]), *RECORDING[number + 1 :]]
    bag = write_sqlite(tmp_path, "bag", broken)
    said = f"bag_0.db3 is damaged at row {number + 1} of table messages on topic '{IMAGE}': it is no "
    assert said in refused(bag)


def test_a_write_ahead_log_that_was_never_merged_is_no_silent_loss(tmp_path):
    bag = write_sqlite(tmp_path, "bag", RECORDING)
    (bag / "bag_0.db3-wal").write_bytes(b"x")
    assert "bag_0.db3-wal was never merged" in refused(bag)


def test_silence_of_hours_is_refused_before_it_fills_the_memory_with_steps(tmp_path):
    late = [replace(m, receive_ns=m.receive_ns + 10**17) for m in RECORDING[40:]]
    assert "the episode is silent for" in refused(write_ours(tmp_path, "bag", [*RECORDING[:40], *late]))


def test_a_message_that_unpacks_to_gigabytes_is_a_sentence(tmp_path):
    raw = Raw(1, Topic("/a", "t", "cdr"), bombs.zeros("zstd"), tmp_path / "f.db3", "row 3 of table messages")
    with pytest.raises(QtxError, match="f.db3 is damaged at row 3 .* on topic '/a': .* more than 268435456 bytes"):
        unzip_message(raw)


# --- splitting ---


def test_a_bag_without_marks_is_split_by_the_topics_of_the_spec(tmp_path):
    parts = [
        Script(SPEC, seconds=0.5, image=(16, 16), success_at=0.4, instruction=text, start_ns=START_NS + after * 10**9)
        for after, text in ((0, "open"), (10, "close"))
    ]
    bag = write_mcap(tmp_path, "bag", [m for script in parts for m in script_messages(script)])
    with open_bag(bag) as opened:
        assert opened.marks() == []
        split = {how: opened.marks(how, SPEC) for how in ("none", "instruction", "events", "gap:2")}
        assert [mark.instruction for mark in split["instruction"]] == ["open", "close"]
        assert {how: [m.episode for m in marks] for how, marks in split.items()} == {
            "none": ["bag"], "instruction": ["000", "001"], "events": ["000", "001"], "gap:2": ["000", "001"],
        }  # fmt: skip
        second = [at for _, at, _ in opened.messages(SPEC, split["gap:2"][1])]
        assert min(second) >= START_NS + 10**10 and len(second) > 50


def test_splitting_by_a_topic_that_is_not_there_is_a_sentence(tmp_path):
    bag = write_mcap(tmp_path, "bag", [m for m in RECORDING if m.topic != "/step_event"])
    with open_bag(bag) as opened, pytest.raises(QtxError, match="no topic 'step_event' to split it by; --split none"):
        opened.marks("events", SPEC)
