"""Parameters inside a node, on whichever backend is there."""

from __future__ import annotations

import pytest

from qtx_ros import ros

Parameter = ros.Parameter


def test_values_come_from_overrides_then_defaults(ros_context) -> None:
    node = ros.Node("n", parameter_overrides=[Parameter("rate", value=5.0)])
    assert node.declare_parameter("rate", 20.0).value == 5.0
    assert node.declare_parameter("size", 3).value == 3
    assert node.get_parameter("rate").value == 5.0
    node.destroy_node()


def test_command_line_and_files_reach_the_node(tmp_path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("/**: {ros__parameters: {names: [a, b], size: 4, deep: {rate: 2.5}}}\n")
    ros.init(args=["--ros-args", "-r", "__ns:=/arm", "--params-file", str(file), "-p", "size:=7", "-p", "on:=true"])
    try:
        node = ros.Node("n")
        assert node.get_fully_qualified_name() == "/arm/n"
        values = [node.declare_parameter(k, v).value for k, v in (("size", 1), ("deep.rate", 0.5), ("on", False))]
        assert values == [7, 2.5, True]
        assert list(node.declare_parameter("names", ["x"]).value) == ["a", "b"]
        node.destroy_node()
    finally:
        ros.try_shutdown()


def test_a_value_of_another_type_is_refused(ros_context) -> None:
    node = ros.Node("n", parameter_overrides=[Parameter("rate", value="fast")])
    with pytest.raises(ros.InvalidParameterTypeException):
        node.declare_parameter("rate", 20.0)
    node.destroy_node()


def test_ranges_hold_for_overrides_too(ros_context) -> None:
    node = ros.Node("n", parameter_overrides=[Parameter("size", value=11)])
    descriptor = ros.ParameterDescriptor(integer_range=[ros.IntegerRange(from_value=1, to_value=9, step=2)])
    with pytest.raises(ros.InvalidParameterValueException):
        node.declare_parameter("size", 3, descriptor)
    node.declare_parameter("other", 3, descriptor)
    assert [node.set_parameters([Parameter("other", value=v)])[0].successful for v in (5, 4, 9, 10)] == [
        True, False, True, False,
    ]  # fmt: skip
    node.destroy_node()


def test_declaring_twice_and_reading_undeclared_are_errors(near) -> None:
    near.declare_parameter("a", 1)
    with pytest.raises(ros.ParameterAlreadyDeclaredException):
        near.declare_parameter("a", 1)
    with pytest.raises(ros.ParameterNotDeclaredException):
        near.get_parameter("b")
    near.undeclare_parameter("a")
    assert not near.has_parameter("a")


def test_callbacks_see_what_is_set_and_may_refuse(near) -> None:
    near.declare_parameter("a", 1)
    seen = []

    def check(parameters):
        seen.extend((p.name, p.value) for p in parameters)
        return ros.SetParametersResult(successful=parameters[0].value < 5, reason="too much")

    near.add_on_set_parameters_callback(check)
    assert near.set_parameters([Parameter("a", value=2)])[0].successful
    refused = near.set_parameters([Parameter("a", value=7)])[0]
    assert (refused.successful, refused.reason) == (False, "too much")
    assert near.get_parameter("a").value == 2 and seen == [("a", 2), ("a", 7)]


def test_parameters_without_a_default_need_a_type(near) -> None:
    near.declare_parameter("typed", Parameter.Type.DOUBLE)
    assert not near.set_parameters([Parameter("typed", value="x")])[0].successful
    assert near.set_parameters([Parameter("typed", value=1.0)])[0].successful
    near.declare_parameter("free", None, ros.ParameterDescriptor(dynamic_typing=True))
    assert near.set_parameters([Parameter("free", value="x")])[0].successful
    assert near.set_parameters([Parameter("free", value=2)])[0].successful


def test_prefixes_collect_parameters(near) -> None:
    for name in ("arm.a", "arm.b", "leg.a"):
        near.declare_parameter(name, 0)
    assert sorted(near.get_parameters_by_prefix("arm")) == ["a", "b"]
