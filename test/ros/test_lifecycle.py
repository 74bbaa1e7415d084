"""A managed node in another process."""

from __future__ import annotations

import pytest

from qtx_ros import ros

MSG, SRV = "lifecycle_msgs/msg/", "lifecycle_msgs/srv/"
SUCCESS = ros.TransitionCallbackReturn.SUCCESS


def change(ask, label: str) -> bool:
    transition = ros.message(MSG + "Transition")(label=label)
    return ask(SRV + "ChangeState", "peer/change_state", transition=transition).success


def state(ask) -> str:
    return ask(SRV + "GetState", "peer/get_state").current_state.label


def will(ask, outcome: str) -> None:
    msg = ros.Parameter("outcome", value=outcome).to_parameter_msg()
    assert ask("rcl_interfaces/srv/SetParameters", "peer/set_parameters", parameters=[msg]).results[0].successful


def test_states_and_transitions_are_listed(peer, ask) -> None:
    assert state(ask) == "unconfigured"
    states = ask(SRV + "GetAvailableStates", "peer/get_available_states").available_states
    assert {"unconfigured", "inactive", "active", "finalized", "errorprocessing"} <= {s.label for s in states}
    possible = ask(SRV + "GetAvailableTransitions", "peer/get_available_transitions").available_transitions
    assert {(t.transition.id, t.transition.label) for t in possible} == {(1, "configure"), (5, "shutdown")}
    graph = ask(SRV + "GetAvailableTransitions", "peer/get_transition_graph").available_transitions
    assert len(graph) == 25


def test_the_callback_decides_where_a_transition_ends(peer, ask) -> None:
    for outcome, end in (("FAILURE", "unconfigured"), ("RAISE", "unconfigured"), ("ERROR", "unconfigured")):
        will(ask, outcome)  # on_error succeeds, so an error leads back to unconfigured
        assert not change(ask, "configure") and state(ask) == end
    will(ask, "SUCCESS")
    assert change(ask, "configure") and state(ask) == "inactive"
    assert not change(ask, "configure"), "a transition that is not possible here"


def test_lifecycle_publishers_speak_only_while_active(peer, near, ask, spin_until) -> None:
    live, chat = [], []
    text = ros.message("std_msgs/msg/String")
    near.create_subscription(text, "live", live.append, 10)
    near.create_subscription(text, "chat", chat.append, 10)
    spin_until(lambda: len(chat) > 3 and near.count_publishers("live") == 1, near)
    assert not live
    assert change(ask, "activate") and state(ask) == "active"
    spin_until(lambda: live, near)
    assert change(ask, "deactivate")
    heard, seen = len(live), len(chat)
    spin_until(lambda: len(chat) > seen + 3, near)
    assert len(live) <= heard + 1  # one may have been on its way


def test_transitions_are_announced(peer, near, ask, spin_until) -> None:
    events = []
    near.create_subscription(ros.message(MSG + "TransitionEvent"), "peer/transition_event", events.append, 10)
    spin_until(lambda: near.count_publishers("peer/transition_event") == 1, near)
    assert change(ask, "cleanup")
    spin_until(lambda: len(events) >= 2, near)
    steps = [(e.start_state.label, e.goal_state.label) for e in events]
    assert steps == [("inactive", "cleaningup"), ("cleaningup", "unconfigured")]


def test_shutdown_is_final(peer, ask) -> None:
    assert change(ask, "shutdown") and state(ask) == "finalized"
    assert not change(ask, "configure")


def test_a_node_may_change_its_own_state(ros_context) -> None:
    node = ros.LifecycleNode("own")
    assert node.trigger_configure() is SUCCESS and node.trigger_activate() is SUCCESS
    assert node.trigger_shutdown() is SUCCESS
    with pytest.raises(ros.RCLError):
        node.trigger_configure()
    node.destroy_node()
