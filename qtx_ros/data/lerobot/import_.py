"""`qtx data import`: a LeRobot dataset → a training set, without lerobot."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from qtx_ros.data.build import clipped
from qtx_ros.data.dataset import write_index
from qtx_ros.data.episode import CODECS, Columns, EpisodeWriter
from qtx_ros.data.lerobot import layout
from qtx_ros.data.lerobot.contract import Match, derive, match
from qtx_ros.data.lerobot.reader import Entry, LeRobotFolder
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import resize
from qtx_ros.spec import Spec

GIVEN = ("success", "failure")
REACHED = 1.0  # a reward of so much at the end of an episode means success


@dataclass(frozen=True)
class Options:
    """What a dataset does not say: the robot, else the size of its pictures; label and codec of the episodes."""

    spec: Spec | None = None
    size: tuple[int, int] | None = None  # height, width [px]
    label: str = ""
    codec: str = "jpeg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="LeRobot dataset, v3.0 or v2.x")
    parser.add_argument("-o", "--out", required=True, metavar="DATASET", help="new folder of the training set")
    parser.add_argument("--robot", help="robot description (YAML or shipped name); default: from the features")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of frames, without --robot")
    parser.add_argument("--label", default="", choices=["", *GIVEN], help="where the dataset says nothing")
    parser.add_argument("--codec", default="jpeg", choices=CODECS, help="how frames are stored (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    spec = Spec.load(args.robot) if args.robot else None
    options = Options(spec, tuple(args.size) if args.size else None, args.label, args.codec)
    manifests = import_folder(Path(args.folder), Path(args.out), options)
    steps, valid = (sum(m[key] for m in manifests) for key in ("steps", "valid_steps"))
    labels = [m["label"] for m in manifests]
    print(f"{args.out}: {len(manifests)} episodes, {steps} steps, {steps - valid} invalid")
    print(", ".join(f"{labels.count(label)} {label or 'without a label'}" for label in sorted(set(labels))))
    return 0


def import_folder(folder: Path, out: Path, options: Options = Options()) -> list[dict]:
    """Write a LeRobot dataset as a training set into `out`, which must not exist; returns the manifests."""
    out = Path(out)
    if out.exists():
        raise QtxError(f"{out} exists already, name a new folder for the training set")
    source = LeRobotFolder(folder)
    if not source.entries:
        raise QtxError(f"{folder} holds no episode")
    own = _own_spec(source)
    spec = options.spec or own or derive(source, _actions(source), options.size)
    job = _Import(source, spec, match(source, spec), options, own is not None and own.digest() == spec.digest())
    hidden = out.parent / f".{out.name}.{os.getpid()}"
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir(parents=True)
    try:
        entries = tqdm(source.entries, unit="episode", desc="import", disable=None)
        manifests = [job.add(hidden, entry) for entry in entries]
        write_index(hidden, spec)
        os.replace(hidden, out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return manifests


def _own_spec(source: LeRobotFolder) -> Spec | None:
    """The robot description that an export of ours carries."""
    path = source.root / layout.SPEC_PATH
    if not path.exists():
        return None
    try:
        return Spec.from_dict(json.loads(path.read_text(encoding="utf-8"))["spec"], str(path))
    except (ValueError, KeyError, TypeError) as error:
        raise QtxError(f"{path} is not what qtx data export writes ({error}), name a robot with --robot") from None


def _actions(source: LeRobotFolder) -> np.ndarray:
    """All finite actions of the dataset, float64 [N, D]."""
    if layout.ACTION not in source.features:
        raise QtxError(f"{source.root} has no feature {layout.ACTION!r}, it has {', '.join(source.features)}")
    found = np.concatenate([_rows(source.columns(entry)[layout.ACTION]) for entry in source.entries])
    found = found[np.isfinite(found).all(1)]
    if not len(found):
        raise QtxError(f"{source.root}: no action of {layout.ACTION!r} is finite")
    return found


@dataclass(frozen=True)
class _Import:
    source: LeRobotFolder
    spec: Spec
    match: Match
    options: Options
    sized: bool  # frames are as the spec wants them already, cropped too

    def add(self, root: Path, entry: Entry) -> dict:
        """Write one episode; returns its manifest."""
        found = self.source.columns(entry)
        facts = self._facts(entry, found)
        columns = self._columns(entry, found, facts)
        writer = EpisodeWriter(root, self._name(root, entry), self.spec, self.options.codec)
        try:
            for valid, frames in zip(columns.valid, self._frames(entry), strict=True):
                writer.add(frames if valid else None)
            facts["clipped"] = clipped(self.spec, columns)
            return writer.finish(columns, facts)
        except BaseException:
            writer.abort()
            raise

    def _name(self, root: Path, entry: Entry) -> str:
        """Its name in the training set it came from, with the first step where an episode was cut; else its number."""
        name = str(entry.own.get("episode") or "")
        if not name or Path(name).name != name or name.startswith("."):
            return f"episode_{entry.index:06d}"
        name = f"{name}.{entry.own['first_step']}" if entry.own.get("first_step") else name
        return f"{name}-{entry.index}" if (root / name).exists() else name

    def _frames(self, entry: Entry) -> Iterator[dict[str, np.ndarray]]:
        cameras = {camera.name: camera for camera in self.spec.cameras}
        streams = [self.source.frames(entry, self.match.cameras[name]) for name in cameras]
        for images in zip(*streams, strict=True):
            pairs = zip(cameras.items(), images, strict=True)
            yield {name: image if self.sized else resize(image, camera) for (name, camera), image in pairs}

    def _columns(self, entry: Entry, found: Mapping[str, np.ndarray], facts: dict) -> Columns:
        count = entry.length
        state = _rows(found[layout.STATE])[:, self.match.state] if self.match.state else np.empty((count, 0))
        action = _rows(found[layout.ACTION])[:, self.match.action]
        valid = np.isfinite(state).all(1) & np.isfinite(action).all(1)
        state[~valid], action[~valid] = np.nan, np.nan
        streams = len(self.spec.cameras) + len(self.spec.states)
        ages = found.get(layout.AGE)
        return Columns(
            state=state,
            action=action,
            reward=_reward(found, count, facts["label"], facts.pop("said")),
            tick=found.get(layout.TICK, np.arange(count) * self.spec.period_ns),
            valid=valid,
            age=np.full((count, streams), np.nan) if ages is None else _rows(ages).reshape(count, streams),
            intervention=found.get(layout.INTERVENTION),
        )

    def _facts(self, entry: Entry, found: Mapping[str, np.ndarray]) -> dict:
        said = entry.own.get("label") or _label(found)
        label, cut = said or self.options.label, _ends(found, layout.TRUNCATED)
        ends = {"terminated": bool(label) and not cut, "truncated": cut or not label}
        if said == label:
            ends |= {key: entry.own[key] for key in ends if isinstance(entry.own.get(key), bool)}
        source = {"lerobot": str(self.source.root.resolve()), "episode": entry.index}
        if entry.own.get("source"):
            source["exported"] = _json(entry.own["source"])
        task = self.source.tasks.get(_first(found, "task_index"), "")
        return {"instruction": task, "label": label, "said": bool(said), **ends, "invalid": {}, "source": source}


def _reward(found: Mapping[str, np.ndarray], count: int, label: str, said: bool) -> np.ndarray:
    """The rewards of the dataset, [N]; if there are none, or the label is not the dataset's: 1 at a success's end."""
    if layout.REWARD in found and (said or not label):
        return found[layout.REWARD]
    return np.where(np.arange(count) == count - 1, label == "success", 0)


def _label(found: Mapping[str, np.ndarray]) -> str:
    """What the columns say of an episode: success, failure, or nothing."""
    if layout.SUCCESS in found:
        if found[layout.SUCCESS].any():
            return "success"
        return "" if _ends(found, layout.TRUNCATED) else "failure"
    if layout.REWARD in found and len(found[layout.REWARD]):
        return "success" if found[layout.REWARD][-1] >= REACHED else ""
    return ""


def _ends(found: Mapping[str, np.ndarray], key: str) -> bool:
    return bool(len(found.get(key, ())) and found[key][-1])


def _first(found: Mapping[str, np.ndarray], key: str) -> Any:
    return found[key][0].item() if len(found.get(key, ())) else None


def _rows(values: np.ndarray) -> np.ndarray:
    """A copy as float64 [N, D]: a column of single numbers has D = 1."""
    return np.array(values, np.float64).reshape(len(values), -1)


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return str(text)
