"""Services, parameters and the lifecycle of a node in another process, through the wire."""

from __future__ import annotations

from qtx_ros import ros

SRV = "rcl_interfaces/srv/"
Parameter = ros.Parameter


def get(ask, *names: str) -> list:
    msg = ros.message("rcl_interfaces/msg/Parameter")
    values = ask(SRV + "GetParameters", "peer/get_parameters", names=list(names)).values
    return [Parameter.from_parameter_msg(msg(name=n, value=v)).value for n, v in zip(names, values, strict=True)]


def put(ask, name: str, value):
    msg = Parameter(name, value=value).to_parameter_msg()
    return ask(SRV + "SetParameters", "peer/set_parameters", parameters=[msg]).results[0]


def test_a_service_answers(peer, ask) -> None:
    response = ask("std_srvs/srv/SetBool", "peer/switch", data=True)
    assert response.success and response.message == "switched on"
    assert not ask("std_srvs/srv/SetBool", "peer/switch", data=False).success


def test_a_missing_service_is_not_waited_for_for_ever(near) -> None:
    client = near.create_client(ros.service("std_srvs/srv/Trigger"), "not_there")
    assert not client.wait_for_service(timeout_sec=0.2)


def test_many_requests_each_get_their_own_answer(peer, near, spin_until) -> None:
    srv = ros.service("std_srvs/srv/SetBool")
    client, other = near.create_client(srv, "peer/switch"), near.create_client(srv, "peer/switch")
    assert client.wait_for_service(timeout_sec=30) and other.wait_for_service(timeout_sec=30)
    futures = [(on, c.call_async(srv.Request(data=on))) for on in (True, False, True) for c in (client, other)]
    spin_until(lambda: all(future.done() for _, future in futures), near)
    assert [future.result().success for _, future in futures] == [on for on, _ in futures]


def test_parameters_are_read_through_services(peer, ask) -> None:
    names = ask(SRV + "ListParameters", "peer/list_parameters").result.names
    assert {"gain", "serial", "joints.names", "joints.limits", "rates", "use_sim_time"} <= set(names)
    below = ask(SRV + "ListParameters", "peer/list_parameters", prefixes=["joints"], depth=1).result
    assert sorted(below.names) == ["joints.limits", "joints.names"] and list(below.prefixes) == ["joints"]
    values = get(ask, "serial", "joints.names", "joints.limits", "rates", "use_sim_time")
    assert [list(v) if hasattr(v, "__len__") and not isinstance(v, str) else v for v in values] == [
        "A7", ["a", "b"], [1.0, 2.5], [10, 20], False,
    ]  # fmt: skip


def test_parameter_types_and_descriptors(peer, ask) -> None:
    types = ask(SRV + "GetParameterTypes", "peer/get_parameter_types", names=["gain", "rates"]).types
    assert list(types) == [Parameter.Type.DOUBLE.value, Parameter.Type.INTEGER_ARRAY.value]
    (gain,) = ask(SRV + "DescribeParameters", "peer/describe_parameters", names=["gain"]).descriptors
    assert gain.description == "of the loop" and gain.floating_point_range[0].to_value == 2.0


def test_parameters_are_set_within_their_rules(peer, ask) -> None:
    assert put(ask, "gain", 0.5).successful
    assert get(ask, "gain") == [0.5]
    assert "out of range" in put(ask, "gain", 5.0).reason
    assert "read-only" in put(ask, "serial", "B1").reason
    assert "Wrong parameter type" in put(ask, "gain", "much").reason
    assert put(ask, "outcome", "PERHAPS").reason == "no such outcome"
    assert not put(ask, "unheard_of", 1).successful
    assert get(ask, "gain", "serial") == [0.5, "A7"]


def test_parameters_are_set_all_or_none(peer, ask) -> None:
    both = [Parameter("gain", value=1.0).to_parameter_msg(), Parameter("serial", value="C").to_parameter_msg()]
    result = ask(SRV + "SetParametersAtomically", "peer/set_parameters_atomically", parameters=both).result
    assert not result.successful and get(ask, "gain") == [0.5]


def test_parameter_changes_are_announced(peer, near, ask, spin_until) -> None:
    events = []
    near.create_subscription(ros.message("rcl_interfaces/msg/ParameterEvent"), "/parameter_events", events.append, 10)
    spin_until(lambda: near.count_publishers("/parameter_events") >= 2, near)
    spin_until(lambda: put(ask, "gain", 0.75) and any(e.node == "/far/peer" for e in events), near)
    assert [p.name for e in events for p in e.changed_parameters] and events[-1].node == "/far/peer"
