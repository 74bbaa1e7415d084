"""The parameters of every node at the start of an episode, as `ros2 param dump` writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from qtx_ros import ros

FILE = "parameters.yaml"
AT_ONCE = 4  # nodes asked at the same time: clients are not free
PATIENCE = 3.0  # [s] for one node
TICK = 0.05  # [s]
SERVICES = ("ListParameters", "list_parameters"), ("GetParameters", "get_parameters")


class ParameterDump:
    """Asks the nodes of the graph for their parameters, a few at a time, without ever waiting."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._timer = node.create_timer(TICK, self._tick, clock=ros.steady_clock())
        self._timer.cancel()
        self._waiting: list[str] = []
        self._asked: list[_Asked] = []
        self._got: dict[str, dict] = {}
        self._silent: list[str] = []
        self._done: Callable[[str, list[str]], None] | None = None

    def begin(self, done: Callable[[str, list[str]], None]) -> None:
        """Ask everybody; `done(parameters.yaml, nodes that did not answer)` is called once, later or by `end`."""
        nodes = {(name, space) for name, space in self._node.get_node_names_and_namespaces() if name[:1] != "_"}
        self._waiting = sorted(f"{space.rstrip('/')}/{name}" for name, space in nodes)
        self._got, self._silent, self._done = {}, [], done
        self._timer.reset()

    def end(self) -> None:
        """Do not wait any longer."""
        if self._done is None:
            return
        self._silent += [*self._waiting, *(asked.name for asked in self._asked)]
        for asked in self._asked:
            asked.close()
        self._waiting, self._asked = [], []
        self._finish()

    def _tick(self) -> None:
        while self._waiting and len(self._asked) < AT_ONCE:
            self._asked.append(_Asked(self._node, self._waiting.pop(0)))
        for asked in [asked for asked in self._asked if asked.step()]:
            asked.close()
            self._asked.remove(asked)
            if asked.values is None:
                self._silent.append(asked.name)
            else:
                self._got[asked.name] = asked.values
        if not self._asked and not self._waiting:
            self._finish()

    def _finish(self) -> None:
        self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done(as_yaml(self._got, self._silent), self._silent)


class _Asked:
    """One node that is being asked: which parameters, then their values."""

    def __init__(self, node: Any, name: str) -> None:
        self.name = name
        self.values: dict[str, Any] | None = None
        self._node, self._until = node, time.monotonic() + PATIENCE
        self._types = [ros.service(f"rcl_interfaces/srv/{type}") for type, _ in SERVICES]
        self._clients = [
            node.create_client(srv, f"{name}/{service}")
            for srv, (_, service) in zip(self._types, SERVICES, strict=True)
        ]
        self._names: list[str] = []
        self._future: Any = None
        self._listed = False

    def step(self) -> bool:
        """Go on if there is an answer; true when there is nothing more to wait for."""
        if self._future is None:
            if all(client.service_is_ready() for client in self._clients):
                self._future = self._clients[0].call_async(self._types[0].Request())
        elif self._future.done():
            return self._take(self._future.result())
        return time.monotonic() > self._until

    def close(self) -> None:
        for client in self._clients:
            self._node.destroy_client(client)

    def _take(self, answer: Any) -> bool:
        if answer is None:
            return True
        if not self._listed:
            self._listed, self._names = True, list(answer.result.names)
            self._future = self._clients[1].call_async(self._types[1].Request(names=self._names))
            return False
        self.values = {name: _value(value) for name, value in zip(self._names, answer.values, strict=False)}
        return True


def _value(value: Any) -> Any:
    """A rcl_interfaces/ParameterValue as plain Python; None if it is not set."""
    parameter = ros.Parameter.from_parameter_msg(ros.message("rcl_interfaces/msg/Parameter")(name="x", value=value))
    plain = parameter.value
    if isinstance(plain, (bool, int, float, str)) or plain is None:
        return plain
    return [item[0] if isinstance(item, bytes) else getattr(item, "item", lambda i=item: i)() for item in plain]


def as_yaml(nodes: Mapping[str, Mapping[str, Any]], silent: Sequence[str] = ()) -> str:
    """Parameters of each node in the format of `--params-file`; who did not answer stands in a comment."""
    data = {name: {"ros__parameters": _nested(values)} for name, values in sorted(nodes.items())}
    comment = f"# did not answer: {', '.join(sorted(silent))}\n" if silent else ""
    return comment + yaml.safe_dump(data, default_flow_style=False, allow_unicode=True)


def _nested(values: Mapping[str, Any]) -> dict:
    """Parameters by the parts of their names; a name that is also the beginning of another stays in one piece."""
    tree: dict = {}
    for name, value in sorted(values.items()):
        if value is None:
            continue
        *groups, leaf = name.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[leaf] = value
        else:
            tree[name] = value
    return tree
