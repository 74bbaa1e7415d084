"""A human's intervention, from the topic in a bag to the steps of a training set."""

import numpy as np
import pytest

from qtx_ros.bags.writer import BagWriter, qos_profile
from qtx_ros.bench.bags import TYPES, Script, build, definition, marked_messages, write_bag
from qtx_ros.data.convert import Options, convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
BOOL = "std_msgs/msg/Bool"


def bag_with(folder, said):
    """A recording of two seconds in which a teleop said things at some time [s]."""
    script = Script(SPEC, seconds=2.0, image=(48, 64), contract=True)
    items = [(item.receive_ns, item.topic, item.type, item.data) for item in marked_messages(script, "episode")]
    for seconds, human in said:
        data = bytes(TYPES.serialize_cdr(build(BOOL, {"data": human}), BOOL))
        items.append((script.start_ns + round(seconds * 1e9), "/intervention", BOOL, data))
    writer = BagWriter(folder, "episode")
    for receive_ns, topic, type, data in sorted(items, key=lambda item: item[0]):
        writer.add_topic(topic, type, *definition(type), [qos_profile()])
        writer.write(topic, receive_ns, data)
    return writer.close(), script.start_ns


def columns(bag, out):
    (row,) = convert([bag], Options(out, SPEC))
    assert row.status == "converted", row.reason
    return Dataset.open(out).episodes[0].columns


def test_a_step_is_the_humans_if_they_had_taken_over_by_its_end(tmp_path):
    bag, start = bag_with(tmp_path, [(0.5, True), (0.6, True), (1.2, False)])
    steps = columns(bag, tmp_path / "set")
    end = (np.append(steps.tick[1:], steps.tick[-1] + SPEC.period_ns) - start) / 1e9
    np.testing.assert_array_equal(steps.intervention, (end >= 0.5) & (end < 1.2))
    assert 10 < steps.intervention.sum() < len(end)


def test_without_the_topic_nobody_took_over(tmp_path):
    bag = write_bag(tmp_path, "episode", Script(SPEC, seconds=1.0, image=(48, 64), contract=True))
    assert not columns(bag, tmp_path / "set").intervention.any()


@pytest.mark.parametrize("missing", [True, False])
def test_training_sets_of_before_have_no_interventions(tmp_path, missing):
    bag = write_bag(tmp_path, "episode", Script(SPEC, seconds=1.0, image=(48, 64), contract=True))
    columns(bag, tmp_path / "set")
    episode = Dataset.open(tmp_path / "set").episodes[0]
    if missing:
        del episode.manifest["files"]["intervention.npy"]
        (episode.folder / "intervention.npy").unlink()
    assert len(episode.columns.intervention) == len(episode) and not episode.columns.intervention.any()
