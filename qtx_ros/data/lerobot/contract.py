"""What a LeRobot dataset's features mean for a robot description: derived from them, or matched with a given one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qtx_ros.data.lerobot.layout import ACTION, IMAGE, STATE
from qtx_ros.data.lerobot.reader import LeRobotFolder
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

WIDEN = 0.01  # a dimension that never moved gets this much to each side


@dataclass(frozen=True)
class Match:
    """Which feature each camera of a spec is, and which entries are its state and its action."""

    cameras: dict[str, str]  # camera → feature
    state: list[int]
    action: list[int]


def derive(folder: LeRobotFolder, actions: np.ndarray, size: Sequence[int] | None) -> Spec:
    """A robot description from the features. `actions` [N, D] are those of the whole dataset; `size` is H, W.

    Each action dimension is absolute, its range the lowest to the highest action of the data, also as `limits`. Topics
    are made up from the names: they do for training, a robot needs its own.
    """
    low, high = actions.min(0), actions.max(0)
    flat = high - low <= 1e-9 * np.maximum(1, np.abs(high))
    low, high = np.where(flat, low - WIDEN, low), np.where(flat, high + WIDEN, high)
    ranges = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    names = _names(folder, ACTION)
    dimensions = [ActionDimension(n, a, b, limits=(a, b)) for n, (a, b) in zip(names, ranges, strict=True)]
    states = (StateStream("joint_states", tuple(_names(folder, STATE))),) if STATE in folder.features else ()
    return Spec(
        name=str(folder.info.get("robot_type") or folder.root.resolve().name),
        rate=folder.fps,
        cameras=tuple(_camera(folder, key, size) for key in _pictures(folder)),
        states=states,
        commands=(CommandStream("commands", tuple(dimensions)),),
    )


def match(folder: LeRobotFolder, spec: Spec) -> Match:
    """How the features fit a robot description. QtxError says what does not."""
    if abs(spec.rate - folder.fps) > 1e-6 * folder.fps:
        raise QtxError(f"{folder.root} has {folder.fps:g} steps a second, robot {spec.name!r} has {spec.rate:g}")
    known = {_clean(key): key for key in _pictures(folder)}
    for camera in spec.cameras:
        if camera.name not in known:
            raise QtxError(f"{folder.root} has no camera {camera.name!r} of robot {spec.name!r}, it has {_list(known)}")
    state = _order(folder, STATE, spec.state_names) if spec.state_names else []
    action = _order(folder, ACTION, [dimension.name for dimension in spec.dimensions])
    return Match({camera.name: known[camera.name] for camera in spec.cameras}, state, action)


def _pictures(folder: LeRobotFolder) -> list[str]:
    """The features with pictures the policy can see: three channels, the last of the shape or the first."""
    shapes = {key: folder.features[key]["shape"] for key in folder.cameras}
    found = [key for key, shape in shapes.items() if len(shape) == 3 and 3 in (shape[0], shape[2])]
    if not found:
        raise QtxError(f"{folder.root} has no feature with colour images, it has {_list(folder.features)}")
    return found


def _camera(folder: LeRobotFolder, key: str, size: Sequence[int] | None) -> Camera:
    shape = folder.features[key]["shape"]
    height, width = size or (shape[:2] if shape[2] == 3 else shape[1:])
    return Camera(_clean(key), f"{_clean(key)}/image_raw", int(height), int(width))


def _clean(key: str) -> str:
    """A camera's name: `observation.images.front` is front, `observation.image` is image."""
    return re.sub(r"[^\w-]", "_", key.removeprefix(IMAGE).removeprefix("observation."))


def _names(folder: LeRobotFolder, key: str) -> list[str]:
    """The names of a feature's entries; QtxError if it has none."""
    names = _named(folder, key)
    if names is None:
        raise QtxError(f"{folder.root}: feature {key!r} does not name its entries, name a robot with --robot")
    return names


def _named(folder: LeRobotFolder, key: str) -> list[str] | None:
    """Names as LeRobot has them: a list, or lists in a mapping; None if there are none that fit the shape."""
    if key not in folder.features:
        raise QtxError(f"{folder.root} has no feature {key!r}, it has {_list(folder.features)}")
    feature = folder.features[key]
    if len(feature["shape"]) != 1:
        raise QtxError(f"{folder.root}: feature {key!r} has the shape {feature['shape']}, expected one dimension")
    names = feature.get("names")
    if isinstance(names, Mapping):
        names = [name for part in names.values() for name in (part if isinstance(part, list) else [part])]
    fits = isinstance(names, list) and len(names) == feature["shape"][0]
    return [str(name) for name in names] if fits else None


def _order(folder: LeRobotFolder, key: str, wanted: Sequence[str]) -> list[int]:
    """Where the wanted entries stand in a feature: by name; as they are if the feature names none."""
    names, (count,) = _named(folder, key), folder.features[key]["shape"]
    if names is None:
        if count != len(wanted):
            raise QtxError(f"{folder.root}: feature {key!r} has {count} entries, the robot has {len(wanted)}")
        return list(range(count))
    missing = [name for name in wanted if name not in names]
    if missing:
        raise QtxError(f"{folder.root}: feature {key!r} has no entry {missing[0]!r}, it has {', '.join(names)}")
    return [names.index(name) for name in wanted]


def _list(names) -> str:
    return ", ".join(map(str, names)) or "none"
