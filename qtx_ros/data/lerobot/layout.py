"""What a LeRobot dataset v3.0 is made of: file names, features, and the names of our own columns in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

VERSION = "v3.0"
CHUNK = 1000  # files in a folder
DATA_MB, VIDEO_MB = 100, 200  # a file that reached this size is followed by another
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
TASKS_PATH = "meta/tasks.parquet"
SPEC_PATH = "meta/qtx.json"  # the robot description; LeRobot does not look at it

IMAGE = "observation.images."
STATE, ACTION = "observation.state", "action"
REWARD, DONE, SUCCESS, TRUNCATED = "next.reward", "next.done", "next.success", "next.truncated"
INTERVENTION = "intervention"  # LeRobot's name for steps a human drove
TICK, AGE = "qtx.tick", "qtx.age"
INDEX = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # columns every dataset has


def place(number: int) -> dict[str, int]:
    """Chunk and file index of the file of a running number."""
    return {"chunk_index": number // CHUNK, "file_index": number % CHUNK}


def fps(spec: Spec) -> int | float:
    """Ticks per second as LeRobot writes them: whole numbers as integers."""
    return int(spec.rate) if float(spec.rate).is_integer() else spec.rate


def features(spec: Spec, images: str, video_info: Mapping, ages: bool) -> dict[str, dict]:
    """The features of an export: `images` is "video" or "png", `video_info` describes the videos."""
    found = {IMAGE + camera.name: _image(camera, images, video_info) for camera in spec.cameras}
    if spec.state_names:
        found[STATE] = _numbers("float32", spec.state_names)
    found[ACTION] = _numbers("float32", [dimension.name for dimension in spec.dimensions])
    found[REWARD] = _number("float32")
    found |= {key: _number("bool") for key in (DONE, SUCCESS, TRUNCATED, INTERVENTION)}
    found[TICK] = _number("int64")
    if ages:
        found[AGE] = _numbers("float32", [*(c.name for c in spec.cameras), *(s.topic for s in spec.states)])
    return found | {key: _number("float32" if key == "timestamp" else "int64") for key in INDEX}


def _image(camera, images: str, video_info: Mapping) -> dict:
    if "/" in camera.name:
        raise QtxError(f"camera {camera.name!r} has a slash in its name, which no LeRobot feature may have")
    entry = {"dtype": "image", "shape": [camera.height, camera.width, 3], "names": ["height", "width", "channels"]}
    if images == "video":
        size = {"video.height": camera.height, "video.width": camera.width}
        entry |= {"dtype": "video", "info": {**size, **video_info}}
    return entry


def _numbers(dtype: str, names: Sequence[str]) -> dict:
    return {"dtype": dtype, "shape": [len(names)], "names": list(names)}


def _number(dtype: str) -> dict:
    return {"dtype": dtype, "shape": [1], "names": None}


def info(spec: Spec, found: Mapping, totals: Mapping[str, int]) -> dict:
    """`meta/info.json` of a dataset with these features and totals (episodes, frames, tasks)."""
    videos = any(feature["dtype"] == "video" for feature in found.values())
    return {
        "codebase_version": VERSION,
        "robot_type": spec.name,
        **{f"total_{name}": count for name, count in totals.items()},
        "chunks_size": CHUNK,
        "data_files_size_in_mb": DATA_MB,
        "video_files_size_in_mb": VIDEO_MB,
        "fps": fps(spec),
        "splits": {"train": f"0:{totals['episodes']}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if videos else None,
        "features": dict(found),
    }


def write_json(path: Path, data: Mapping) -> None:
    """Write a JSON file and force it to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=4, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
