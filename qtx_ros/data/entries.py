"""Named numbers in messages: how they are read and, next to it, how they are written.

Four shapes cover every type: `Fields` (fixed places, as in a wrench), `Named` (a list of names beside a list of values,
as in joint states), `Listed` (numbered lists, as of a joystick), `Plain` (bare values in the robot's file's order).
Each has `check(topic, wanted)`, `read(topic, wanted, msg) -> float64 [n]` and `write(wanted, values) -> nested fields`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtx_ros.errors import QtxError

Numbers = Sequence[float] | np.ndarray


# --- fixed places ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Fields:
    """A message whose entries have fixed places: the entry `force.x` is the attribute `wrench.force.x`.

    An entry may carry a label, as in `left/force.x` and `right/force.x`: names of a robot's entries must differ, and
    what counts here is what stands after the last `/`.
    """

    prefix: str  # what comes before an entry's name; "" or a path that ends with a dot
    entries: tuple[str, ...]
    quaternions: tuple[str, ...] = ()  # paths of those that `write` must leave a rotation

    def check(self, topic: str, wanted: tuple[str, ...]) -> None:
        """Raise QtxError for an entry that the message does not have."""
        for name in wanted:
            if _entry(name) not in self.entries:
                raise QtxError(f"{topic!r} has no entry {_entry(name)!r}, it has {', '.join(self.entries)}")

    def check_write(self, topic: str, wanted: tuple[str, ...]) -> None:
        """As `check`; also raise QtxError for a part of a quaternion, which is no rotation."""
        self.check(topic, wanted)
        for group in self.quaternions:
            axes = {f"{group}{axis}" for axis in "xyzw"}
            missing = sorted(axes - {_entry(name) for name in wanted})
            if 0 < len(missing) < 4:
                raise QtxError(f"{topic!r} commands a part of a rotation, {', '.join(missing)} are missing")

    def read(self, topic: str, wanted: tuple[str, ...], msg: Any) -> np.ndarray:
        """The wanted entries, float64 [n]."""
        try:
            return np.array(_getter(self.prefix, wanted)(msg), np.float64)
        except AttributeError:
            self.check(topic, wanted)
            raise

    def write(self, wanted: tuple[str, ...], values: Numbers) -> dict:
        """The inverse of `read`: what is not wanted is zero, a rotation that is not wanted is none, one that is wanted
        is made a unit quaternion."""
        found = dict(zip(map(_entry, wanted), map(float, values), strict=True))
        for group in self.quaternions:
            found |= _unit({f"{group}{axis}": found.get(f"{group}{axis}") for axis in "xyzw"})
        fields: dict = {}
        for name, value in found.items():
            *parents, last = f"{self.prefix}{name}".split(".")
            functools.reduce(lambda tree, key: tree.setdefault(key, {}), parents, fields)[last] = value
        return fields


def _entry(name: str) -> str:
    return name.rpartition("/")[2]


@functools.lru_cache(maxsize=256)
def _getter(prefix: str, wanted: tuple[str, ...]) -> Callable[[Any], Any]:
    paths = [prefix + _entry(name) for name in wanted]
    if len(paths) == 1:
        return lambda msg: (operator.attrgetter(paths[0])(msg),)
    return operator.attrgetter(*paths)


def _unit(axes: dict[str, float | None]) -> dict[str, float]:
    """The quaternion scaled to length 1; no rotation if it is not given. QtxError if it has no length."""
    if None in axes.values():
        return {name: float(name.endswith("w")) for name in axes}
    length = float(np.linalg.norm(list(axes.values())))
    if not (np.isfinite(length) and length > 1e-9):
        raise QtxError(f"rotation {list(axes.values())} is no quaternion, expected one of length 1")
    return {name: value / length for name, value in axes.items()}


def fields(prefix: str = "", /, **groups: str) -> Fields:
    """`fields("wrench", force="xyz")` has the entries force.x, force.y, force.z at wrench.force.x, …"""
    entries = tuple(f"{group}.{axis}" for group, axes in groups.items() for axis in axes)
    quaternions = tuple(f"{group}." for group, axes in groups.items() if axes == "xyzw")
    return Fields(f"{prefix}." if prefix else "", entries, quaternions)


# --- a list of names beside a list of values ---------------------------------------------------------------------

@dataclass(frozen=True)
class Named:
    """Values looked up by the names that the message itself carries, never by order."""

    names: str  # attribute with the names
    values: str  # attribute with as many values

    def check(self, topic: str, wanted: tuple[str, ...]) -> None:
        """Nothing to say before a message comes."""

    check_write = check

    def read(self, topic: str, wanted: tuple[str, ...], msg: Any) -> np.ndarray:
        """The wanted entries, float64 [n]."""
        return by_name(topic, wanted, getattr(msg, self.names), getattr(msg, self.values), self.values)

    def write(self, wanted: tuple[str, ...], values: Numbers) -> dict:
        """The inverse of `read`."""
        return {self.names: list(wanted), self.values: [float(value) for value in values]}


def by_name(topic: str, wanted: Sequence[str], names: Sequence[str], values: Any, what: str) -> np.ndarray:
    """float64 [n] of the wanted entries of two parallel lists."""
    index = {name: i for i, name in enumerate(names)}
    missing = [name for name in wanted if name not in index]
    if missing:
        raise QtxError(f"{topic!r} has no {what} of {missing[0]!r}, it has {', '.join(names) or 'none'}")
    if len(values) != len(names):
        raise QtxError(f"{topic!r} has {len(values)} values of {what} for {len(names)} names")
    return np.array([values[index[name]] for name in wanted], np.float64)


# --- numbered lists ----------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Listed:
    """Lists whose entries have a list's name and a number, `axes.0`; a label may stand before, as in `Fields`."""

    lists: dict[str, type]  # attribute → what its values are

    def check(self, topic: str, wanted: tuple[str, ...]) -> None:
        """Raise QtxError for an entry of another form."""
        for name in wanted:
            group, _, number = _entry(name).partition(".")
            if group not in self.lists or not (number.isascii() and number.isdigit()):
                forms = ", ".join(f"{known}.0, {known}.1 …" for known in self.lists)
                raise QtxError(f"{topic!r} has no entry {_entry(name)!r}, it has {forms}")

    check_write = check

    def read(self, topic: str, wanted: tuple[str, ...], msg: Any) -> np.ndarray:
        """The wanted entries, float64 [n]."""
        self.check(topic, wanted)
        places = [_place(name) for name in wanted]
        for group, number in places:
            if number >= len(getattr(msg, group)):
                sizes = ", ".join(f"{len(getattr(msg, known))} {known}" for known in self.lists)
                raise QtxError(f"{topic!r} has no entry '{group}.{number}', the message holds {sizes}")
        return np.array([getattr(msg, group)[number] for group, number in places], np.float64)

    def write(self, wanted: tuple[str, ...], values: Numbers) -> dict:
        """The inverse of `read`: what is not wanted is zero; whole numbers are rounded."""
        places = [_place(name) for name in wanted]
        lists = {g: [k(0)] * (1 + max((n for h, n in places if h == g), default=-1)) for g, k in self.lists.items()}
        for (group, number), value in zip(places, values, strict=True):
            lists[group][number] = self.lists[group](np.rint(value) if self.lists[group] is int else value)
        return lists


def _place(name: str) -> tuple[str, int]:
    group, _, number = _entry(name).partition(".")
    return group, int(number)


# --- bare values -------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Plain:
    """Values without names: the robot's file names them freely, in the order in which they come."""

    kind: str = "f8"  # NumPy's name of what one value is; "?" for true and false
    single: bool = False  # one value, not a list

    def check(self, topic: str, wanted: tuple[str, ...]) -> None:
        """Raise QtxError for several names of one value."""
        if self.single and len(wanted) != 1:
            raise QtxError(f"{topic!r} has one value, expected one name for it and not {', '.join(wanted) or 'none'}")

    check_write = check

    def read(self, topic: str, wanted: tuple[str, ...], msg: Any) -> np.ndarray:
        """All values, float64 [n]; as many as there are names."""
        values = [msg.data] if self.single else msg.data
        if len(values) != len(wanted):
            raise QtxError(f"{topic!r} has {len(values)} values, expected {len(wanted)}: {', '.join(wanted)}")
        return np.array(values, np.float64)

    def write(self, wanted: tuple[str, ...], values: Numbers) -> dict:
        """The inverse of `read`; whole numbers are rounded and kept in range, true is 0.5 and more."""
        data = [_as(self.kind, value) for value in values]
        return {"data": data[0] if self.single else data}


def _as(kind: str, value: float) -> float | int | bool:
    if kind == "?":
        return bool(value >= 0.5)
    if kind.startswith("f"):
        return float(value)
    bounds = np.iinfo(kind)
    return int(min(max(round(float(value)), int(bounds.min)), int(bounds.max)))
