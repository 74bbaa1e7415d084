"""Names, remaps and parameter files of the embedded backend."""

from __future__ import annotations

import pytest

from qtx_ros.errors import QtxError
from qtx_ros.ros.dds.arguments import parse, read_parameters, split
from qtx_ros.ros.dds.exceptions import InvalidNamespaceException, InvalidNodeNameException, InvalidTopicNameException
from qtx_ros.ros.dds.names import check_namespace, check_node_name, expand


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("image", "/robot/image"),
        ("camera/image", "/robot/camera/image"),
        ("/image", "/image"),
        ("~/image", "/robot/policy/image"),
        ("~", "/robot/policy"),
        ("{node}/x", "/robot/policy/x"),
        ("/{ns}/x", "/robot/x"),
    ],
)
def test_names_expand_by_node_and_namespace(name: str, full: str) -> None:
    assert expand(name, "policy", "/robot") == full


@pytest.mark.parametrize("name", ["", "a b", "1st", "a//b", "a/", "/a/", "a__b", "a/2", "{x}/y", "ä"])
def test_wrong_topic_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidTopicNameException):
        expand(name, "policy", "/robot")


def test_wrong_node_names_and_namespaces_are_refused() -> None:
    with pytest.raises(InvalidNodeNameException):
        check_node_name("my-node")
    with pytest.raises(InvalidNamespaceException):
        check_namespace("/a/1b")
    assert check_namespace("") == "/" and check_namespace("a/b") == "/a/b"


def test_remaps_rename_node_namespace_topics_and_services() -> None:
    words = "--ros-args -r __node:=n2 -r __ns:=/left -r image:=camera/rgb -r other:image:=nope -r ~/go:=/go"
    found = parse([*words.split(), "-r", "rosservice://image:=/service_only"])
    assert found.node_name("n1") == "n2" and found.namespace("n1", "/") == "/left"
    assert found.remap("/left/image", "n2", "/left") == "/left/camera/rgb"
    assert found.remap("/left/image", "other", "/left") == "/left/camera/rgb"  # the first rule that fits
    assert found.remap("/left/n2/go", "n2", "/left", is_service=True) == "/go"
    assert found.remap("/left/unheard", "n2", "/left") == "/left/unheard"


def test_a_remap_for_one_node_leaves_others_alone() -> None:
    found = parse(["--ros-args", "-r", "a:__node:=b", "-r", "a:x:=y"])
    assert found.node_name("a") == "b" and found.node_name("c") == "c"
    assert found.remap("/x", "c", "/") == "/x" and found.remap("/x", "a", "/") == "/y"


def test_parameters_are_yaml_values() -> None:
    words = ["-p", "a:=1", "-p", "b:=1.5", "-p", "c:=true", "-p", "d:=text", "-p", "e:=[1, 2]", "-p", "n:f:='7'"]
    found = parse(["program", "--ros-args", *words, "--", "-p", "ignored"])
    assert found.overrides("/ns/n") == {"a": 1, "b": 1.5, "c": True, "d": "text", "e": [1, 2]}
    assert found.overrides("/n")["f"] == "7"  # as in rcl, a node in a namespace cannot be addressed this way


def test_parameter_files_match_nodes_by_name_and_wildcard(tmp_path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        """
/**: {ros__parameters: {everywhere: 1, nested: {deep: 2.0}}}
/*/policy: {ros__parameters: {one_level: 3}}
policy: {ros__parameters: {root_only: 4}}
robot: {policy: {ros__parameters: {nested_key: 5, everywhere: 6}}}
"""
    )
    found = parse(["--ros-args", "--params-file", str(file), "-p", "one_level:=9"])
    assert found.overrides("/robot/policy") == {
        "everywhere": 6, "nested.deep": 2.0, "one_level": 9, "nested_key": 5,
    }  # fmt: skip
    assert found.overrides("/policy") == {"everywhere": 1, "nested.deep": 2.0, "root_only": 4, "one_level": 9}


def test_log_levels_and_switches() -> None:
    words = "--ros-args --log-level debug --log-level a.b:=error --disable-rosout-logs --enable-stdout-logs"
    found = parse(words.split())
    assert found.log_level == 10 and found.logger_levels == {"a.b": 40}
    assert found.switches == {"rosout-logs": False, "stdout-logs": True}


@pytest.mark.parametrize(
    "words",
    [["-r", "nonsense"], ["-p", "x"], ["-p"], ["--log-level", "loud"], ["--unheard"], ["--params-file", "no.yaml"]],
)
def test_wrong_ros_arguments_are_named(words: list[str]) -> None:
    with pytest.raises(QtxError, match=words[-1].lstrip("-")):
        parse(["--ros-args", *words])


def test_a_parameter_file_of_another_shape_is_refused(tmp_path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("policy: 3\n")
    with pytest.raises(QtxError, match="ros__parameters"):
        read_parameters(file)


def test_the_program_keeps_its_own_arguments() -> None:
    words = ["a", "--ros-args", "-r", "x:=y", "--", "b"]
    assert split(words) == (["a", "b"], ["--ros-args", "-r", "x:=y", "--"])
