"""`config/sros2/qtx.policy.xml`: shaped as SROS 2 wants it, and each node's rights are exactly what it uses."""

from __future__ import annotations

import importlib.util
import re
import time
import xml.etree.ElementTree as ElementTree

import pytest

from qtx_ros import ros
from qtx_ros.nodes.policy_node import PolicyNode
from qtx_ros.nodes.recorder import Recorder
from qtx_ros.nodes.recorder_parameters import SERVICES
from qtx_ros.nodes.watchdog import Watchdog
from qtx_ros.paths import share
from qtx_ros.spec import Spec

ROOT = ElementTree.parse(share("config/sros2/qtx.policy.xml")).getroot()
SPEC = Spec.load("sawyer_sim")
WAYS = {"topics": ("publish", "subscribe"), "services": ("reply", "request"), "actions": ("call", "execute")}
GRAPH = {"publish": "publisher", "subscribe": "subscriber", "reply": "service", "request": "client"}
ONLY_RCLPY = {"reply": "get_type_description"}  # what the embedded backend does not offer


def test_the_file_has_the_structure_of_a_policy():
    """As sros2's policy.xsd says, version 0.2.0."""
    assert ROOT.tag == "policy" and ROOT.attrib == {"version": "0.2.0"}
    assert [child.tag for child in ROOT] == ["enclaves"]
    paths = [enclave.get("path") for enclave in children(ROOT[0], "enclave", {"path"})]
    assert len(set(paths)) == len(paths) and all(re.fullmatch(r"(/\w+)+", path) for path in paths)
    for enclave in ROOT[0]:
        for profiles in children(enclave, "profiles", set()):
            for profile in children(profiles, "profile", {"ns", "node"}):
                check_profile(profile)


def children(parent, tag, attributes):
    assert len(parent) > 0
    for child in parent:
        assert child.tag == tag and child.attrib.keys() == attributes, ElementTree.tostring(child)
    return list(parent)


def check_profile(profile):
    for group in profile:
        assert group.attrib and set(group.attrib) <= set(WAYS[group.tag]), group.attrib
        assert set(group.attrib.values()) == {"ALLOW"}
        for name in group:
            assert name.tag == group.tag[:-1] and not name.attrib and len(name) == 0
            assert re.fullmatch(r"[~/*\w]+", name.text), name.text


def allowed(path: str) -> dict[str, set[str]]:
    """Full names by direction that an enclave allows, as sros2 expands them."""
    (profile,) = ROOT.findall(f".//enclave[@path='{path}']/profiles/profile")
    names = {way: set() for way in GRAPH}
    for group in profile:
        for way in group.attrib:
            names[way] |= {expand(name.text, profile.get("node")) for name in group}
    return names


def expand(name: str, node: str) -> str:
    return name if name.startswith("/") else f"/{node}{name[1:]}" if name.startswith("~") else f"/{name}"


def used(*nodes) -> dict[str, set[str]]:
    """What nodes have in the ROS graph, by direction."""
    found = {way: set() for way in GRAPH}
    for node in nodes:
        for way, what in GRAPH.items():
            of_node = getattr(node, f"get_{what}_names_and_types_by_node")
            found[way] |= {name for name, _ in of_node(node.get_name(), node.get_namespace())}
    return found


def neither_more_nor_less(path: str, *nodes) -> None:
    rights, end = allowed(path), time.monotonic() + 20
    offered = {way: {f"/{nodes[0].get_name()}/{ONLY_RCLPY.get(way)}"} for way in GRAPH}
    needed = {way: {name for name in rights[way] - offered[way] if "*" not in name} for way in GRAPH}
    while any(needed[way] - used(*nodes)[way] for way in GRAPH) and time.monotonic() < end:
        time.sleep(0.05)  # rclpy knows of its own entities only after a while
    needs = used(*nodes)
    for way in GRAPH:
        assert needs[way] - rights[way] == set(), f"{path} may not {way}"
        assert needed[way] - needs[way] == set(), f"{path} may {way} for nothing"


def simulated(**values):
    """Parameters as overrides; time is simulated, so that the right to hear it is used."""
    values = {"use_sim_time": True, **values}
    return [ros.Parameter(name, value=value) for name, value in values.items()]


def test_the_policy_has_the_rights_that_it_uses(context):
    node = PolicyNode(context=context, parameter_overrides=simulated(bundle="sawyer_sim", deadman_button=0))
    assert node.trigger_configure() == ros.TransitionCallbackReturn.SUCCESS
    neither_more_nor_less("/qtx/policy", node)


def test_the_watchdog_has_the_rights_that_it_uses(context):
    neither_more_nor_less("/qtx/watchdog", Watchdog(simulated(robot="sawyer_sim"), context=context))


def test_the_recorder_has_the_rights_that_it_uses(context, tmp_path):
    robot = ros.Node("robot", context=context)
    streams = (*SPEC.cameras, *SPEC.states, *SPEC.commands, SPEC.instruction, SPEC.events, SPEC.intervention)
    for type, topic in (*((s.type, s.topic) for s in streams), ("qtx_ros/msg/Decision", "policy/decision")):
        robot.create_publisher(ros.message(type), topic, 10)
    node = Recorder(simulated(robot="sawyer_sim", directory=str(tmp_path)), context=context)
    executor, end = ros.SingleThreadedExecutor(context=context), time.monotonic() + 20
    executor.add_node(node)
    while "/policy/decision" not in used(node)["subscribe"] and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    neither_more_nor_less("/qtx/recorder", node)
    assert allowed("/qtx/recorder")["request"] == {f"/*/{service}" for _, service in SERVICES}


def test_teleop_has_the_rights_that_it_uses(context):
    from qtx_ros.nodes.joystick import JoyTeleop
    from qtx_ros.nodes.keyboard import KeyboardTeleop

    options = {"context": context, "parameter_overrides": simulated()}
    joystick = JoyTeleop(SPEC, 0.3, **options)
    neither_more_nor_less("/qtx/teleop", joystick)
    keyboard = used(KeyboardTeleop(SPEC, 0.3, lambda: "", **options))
    assert all(keyboard[way] <= allowed("/qtx/teleop")[way] for way in GRAPH)


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="needs qtx_ros[sim]")
def test_the_simulated_robot_and_its_expert_have_the_rights_that_they_use(context):
    from qtx_ros.nodes.sim import SimNode
    from qtx_ros.nodes.teleop import ExpertTeleop

    neither_more_nor_less("/qtx/sim", SimNode(speed=2.0, context=context))
    neither_more_nor_less("/qtx/expert", ExpertTeleop(SPEC, context=context, parameter_overrides=simulated()))


def test_only_who_must_may_command_the_robot():
    command = {f"/{stream.topic}" for stream in SPEC.commands}
    who = {enclave.get("path") for enclave in ROOT[0] if allowed(enclave.get("path"))["publish"] & command}
    assert who == {"/qtx/policy", "/qtx/watchdog", "/qtx/teleop", "/qtx/expert"}
