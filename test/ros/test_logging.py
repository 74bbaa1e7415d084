"""Logging: rcl's console format, levels, filters, /rosout."""

from __future__ import annotations

import re

from qtx_ros import ros

NODE = """
import sys
from qtx_ros import ros
ros.init(args=sys.argv[1:])
node = ros.Node("n", namespace="/a")
log = node.get_logger()
for i in range(3):
    log.info("once", once=True)
    log.info("later", skip_first=True)
    log.info("throttled", throttle_duration_sec=60.0)
log.debug("fine")
log.get_child("part").warning("from a part")
log.error("bad")
log.fatal("worse")
node.destroy_node()
ros.try_shutdown()
"""


def lines(spawn, *arguments: str) -> list[str]:
    output, errors = spawn("-c", NODE, *arguments).communicate(timeout=120)
    assert output == ""
    return [re.sub(r"\x1b\[\d*m", "", line) for line in errors.splitlines()]


def test_the_console_shows_severity_time_name_text(spawn) -> None:
    shown = lines(spawn)
    form = r"\[(INFO|WARN|ERROR|FATAL)\] \[\d+\.\d{9}\] \[a\.n(\.part)?\]: .+"
    assert all(re.fullmatch(form, line) for line in shown)
    texts = [line.split("]: ")[1] for line in shown]
    assert texts == ["once", "throttled", "later", "later", "from a part", "bad", "worse"]


def test_levels_come_from_the_command_line(spawn) -> None:
    assert [line.split("]: ")[1] for line in lines(spawn, "--ros-args", "--log-level", "error")] == ["bad", "worse"]
    debug = lines(spawn, "--ros-args", "--log-level", "a.n:=debug")
    assert any("[DEBUG]" in line and line.endswith("fine") for line in debug)


def test_lines_reach_rosout(near, spin_until) -> None:
    got = []
    qos = ros.QoSProfile(depth=100, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
    near.create_subscription(ros.message("rcl_interfaces/msg/Log"), "/rosout", got.append, qos)
    near.get_logger().warning("look here")
    spin_until(lambda: any(m.msg == "look here" for m in got), near)
    (entry,) = [m for m in got if m.msg == "look here"]
    assert (entry.level, entry.name, entry.function) == (30, "far.near", "test_lines_reach_rosout")
    assert entry.file.endswith("test_logging.py") and entry.stamp.sec > 0
