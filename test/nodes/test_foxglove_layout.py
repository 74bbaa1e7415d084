"""The Foxglove layout names topics and fields that our nodes publish."""

import json
import re

import pytest
from robot_stub import make, wait

from qtx_ros import ros
from qtx_ros.nodes.recorder import Recorder
from qtx_ros.paths import share
from qtx_ros.spec import Spec

LAYOUT = json.loads(share("config/foxglove/qtx_ros.json").read_text(encoding="utf-8"))
SHOWN = {"Image": "sensor_msgs/msg/Image", "DiagnosticSummary": "diagnostic_msgs/msg/DiagnosticArray"}
PANELS = {*SHOWN, "Plot", "StateTransitions", "Indicator", "Table", "RawMessages"}


@pytest.fixture
def published(context, tmp_path):
    """Topic → type of what policy, recorder, simulated robot and teleop publish."""
    spec = Spec.load("sawyer_sim")
    robot = (*spec.cameras, *spec.states, spec.instruction, spec.intervention)
    node, stub, spinner = make(context, tmp_path, spec, plots=True)
    recorder = Recorder([ros.Parameter("directory", value=str(tmp_path / "bags"))], context=context)
    node.trigger_configure()
    ours = {node.get_fully_qualified_name(), recorder.get_fully_qualified_name()}
    assert wait(lambda: "/recorder/status" in dict(stub.node.get_topic_names_and_types()))
    found = {f"/{stream.topic}": stream.type for stream in robot}
    for name in ours:
        topics = stub.node.get_publisher_names_and_types_by_node(name.rpartition("/")[2], "/")
        found |= {topic: types[0] for topic, types in topics}
    spinner.close()
    recorder.destroy_node()
    return found


def paths():
    """(panel, message path) for everything that the layout draws."""
    for name, panel in LAYOUT["configById"].items():
        kind = name.partition("!")[0]
        assert kind in PANELS
        yield from ((kind, one["value"]) for one in panel.get("paths", ()))
        single = panel.get("path") or panel.get("topicPath") or panel.get("topicToRender")
        single = single or panel.get("imageMode", {}).get("imageTopic")
        if single:
            yield kind, single


def test_every_topic_and_field_is_one_that_our_nodes_publish(published):
    found = list(paths())
    assert len(found) > 30
    for kind, path in found:
        topic, *fields = path.split(".")
        assert topic in published, path
        assert SHOWN.get(kind, published[topic]) == published[topic]
        type = published[topic]
        for field in fields:
            types = ros.message(type).get_fields_and_field_types()
            name, index = re.fullmatch(r"(\w+)(\[(?:\d+|:)\])?", field).groups()
            assert name in types, f"{type} has no field {name!r}, the layout wants {path}"
            assert index is None or types[name].startswith("sequence"), path
            type = re.sub(r"sequence<(\w+)/(?:msg/)?(\w+)>", r"\1/msg/\2", types[name])


def test_every_panel_has_a_place_and_every_place_a_panel():
    def leaves(node):
        return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])

    placed = leaves(LAYOUT["layout"])
    assert sorted(placed) == sorted(LAYOUT["configById"])
    for name, panel in LAYOUT["configById"].items():
        if name.startswith("Plot!"):
            assert all(one["enabled"] for one in panel["paths"]), f"Foxglove draws nothing of {name}"
