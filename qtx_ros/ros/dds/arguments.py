"""The command line after `--ros-args`: remaps, parameters, log levels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qtx_ros.errors import QtxError
from qtx_ros.ros.dds.names import check_namespace, check_node_name, expand

LEVELS = {"UNSET": 0, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50}
NEEDS_VALUE = {
    "-r": "remap", "--remap": "remap", "-p": "parameter", "--param": "parameter", "--params-file": "params_file",
    "--log-level": "log_level", "-e": "enclave", "--enclave": "enclave", "--log-config-file": "log_config_file",
}  # fmt: skip
SWITCHES = ("stdout-logs", "rosout-logs", "external-lib-logs")


@dataclass(frozen=True)
class Remap:
    """`node:from:=to`; `node` None: for every node."""

    node: str | None
    source: str
    target: str


@dataclass
class Arguments:
    """What was asked for on the command line."""

    remaps: list[Remap] = field(default_factory=list)
    parameters: list[tuple[str, str, Any]] = field(default_factory=list)  # node pattern, name, value
    log_level: int | None = None
    logger_levels: dict[str, int] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)
    enclave: str = "/"

    def node_name(self, name: str) -> str:
        """The node's name after `__node:=`."""
        return check_node_name(self._remapped(name, ("__node", "__name")) or name)

    def namespace(self, name: str, namespace: str) -> str:
        """The namespace after `__ns:=`."""
        return check_namespace(self._remapped(name, ("__ns",)) or namespace)

    def remap(self, full: str, node: str, namespace: str, is_service: bool = False) -> str:
        """The full topic or service name after the first rule that fits it."""
        scheme = "rosservice://" if is_service else "rostopic://"
        for rule in self.remaps:
            if rule.source.startswith("__") or (rule.node is not None and rule.node != node):
                continue
            if "://" in rule.source and not rule.source.startswith(scheme):
                continue
            if expand(rule.source.removeprefix(scheme), node, namespace, is_service) == full:
                return expand(rule.target.removeprefix(scheme), node, namespace, is_service)
        return full

    def overrides(self, full_name: str) -> dict[str, Any]:
        """The parameter values given for the node with this full name; the last one given wins."""
        return {name: value for pattern, name, value in self.parameters if _matches(pattern, full_name)}

    def _remapped(self, name: str, sources: tuple[str, ...]) -> str | None:
        for rule in self.remaps:
            if rule.source in sources and rule.node in (None, name):
                return rule.target
        return None


def parse(args: Sequence[str]) -> Arguments:
    """Read the ROS part of a command line; everything outside `--ros-args … [--]` is left alone.

    Raises:
        QtxError: an unknown flag, a missing or malformed value.
    """
    result = Arguments()
    words = _ros_part(args)
    for word in words:
        if word in NEEDS_VALUE:
            value = next(words, None)
            if value is None:
                raise QtxError(f"ROS argument {word!r} needs a value")
            _take(result, NEEDS_VALUE[word], value)
        elif match := re.fullmatch(rf"--(enable|disable)-({'|'.join(SWITCHES)})", word):
            result.switches[match[2]] = match[1] == "enable"
        else:
            known = ", ".join(NEEDS_VALUE)
            raise QtxError(f"unknown ROS argument {word!r}, expected one of {known}, --enable-… or --disable-…-logs")
    return result


def split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """(arguments of the program, ROS arguments beginning with `--ros-args`)."""
    own, ros, inside = [], [], False
    for word in args:
        if word == "--ros-args":
            inside = True
        (ros if inside else own).append(word)
        inside = inside and word != "--"
    return own, ros


def yaml_value(text: str) -> Any:
    """A parameter value as rcl reads it: YAML, anything unreadable is a string."""
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        return text


def _ros_part(args: Sequence[str]) -> Iterator[str]:
    inside = False
    for word in args:
        if word == "--ros-args":
            inside = True
        elif word == "--":
            inside = False
        elif inside:
            yield word


def _take(result: Arguments, kind: str, value: str) -> None:
    if kind == "remap":
        node, source, target = _rule(value, "remap")
        result.remaps.append(Remap(node, source, target))
    elif kind == "parameter":
        node, name, text = _rule(value, "parameter")
        result.parameters.append((f"/{node}" if node else "/**", name, yaml_value(text)))
    elif kind == "params_file":
        result.parameters += read_parameters(value)
    elif kind == "log_level":
        name, _, level = value.rpartition(":=")
        if level.upper() not in LEVELS:
            raise QtxError(f"log level is {level!r}, expected one of {', '.join(LEVELS)}")
        if name:
            result.logger_levels[name] = LEVELS[level.upper()]
        else:
            result.log_level = LEVELS[level.upper()]
    elif kind == "enclave":
        result.enclave = value


def _rule(text: str, what: str) -> tuple[str | None, str, str]:
    """`[node:]left:=right`."""
    left, assign, right = text.partition(":=")
    match = re.fullmatch(r"(?:([^:]+):(?!//))?(.+)", left)
    if not assign or not match:
        raise QtxError(f"{what} is {text!r}, expected '[node:]name:=value'")
    return match[1], match[2], right


def read_parameters(path: str | Path) -> list[tuple[str, str, Any]]:
    """(node pattern, parameter, value) of a ROS 2 parameters file.

    Raises:
        QtxError: not such a file.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise QtxError(f"cannot read the parameters file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QtxError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise QtxError(f"parameters file {path} holds {type(data).__name__}, expected nodes with 'ros__parameters'")
    return list(_nodes(data, "", str(path)))


def _nodes(data: dict, prefix: str, path: str) -> Iterator[tuple[str, str, Any]]:
    for key, value in data.items():
        pattern = f"{prefix}/{str(key).strip('/')}"
        if not isinstance(value, dict):
            raise QtxError(f"parameters file {path}: {pattern} is {value!r}, expected a mapping with 'ros__parameters'")
        rest = {name: part for name, part in value.items() if name != "ros__parameters"}
        for name, parameter in _flat(value.get("ros__parameters") or {}, ""):
            yield pattern, name, parameter
        yield from _nodes(rest, pattern, path)


def _flat(data: dict, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _matches(pattern: str, full_name: str) -> bool:
    """`*` stands for one part of a node's full name, `**` for any number of them."""
    regex = ""
    for part in pattern.strip("/").split("/"):
        regex += r"(/\w+)*" if part == "**" else "/" + re.escape(part).replace(r"\*", r"\w+")
    return re.fullmatch(regex, full_name) is not None
