"""`qtx data export`: a training set → a LeRobot dataset v3.0, without lerobot."""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from qtx_ros.data.dataset import Dataset
from qtx_ros.data.episode import Episode
from qtx_ros.data.lerobot import layout, stats
from qtx_ros.data.lerobot.layout import IMAGE
from qtx_ros.data.lerobot.tables import StepWriter, write_episodes, write_tasks
from qtx_ros.data.lerobot.video import CODECS, VideoWriter, video_info
from qtx_ros.errors import QtxError

IMAGES = ("video", "png")
STEPS_AT_ONCE = 256  # images of so many steps are held in memory
ROWS_AT_ONCE = 1000  # and so many rows of `meta/episodes`, each with its statistics


@dataclass(frozen=True)
class Options:
    """How frames are stored: as videos of a codec, or as PNG, which loses nothing."""

    images: str = "video"
    codec: str = "h264"

    def __post_init__(self) -> None:
        for name, value, known in (("images", self.images, IMAGES), ("codec", self.codec, CODECS)):
            if value not in known:
                raise QtxError(f"{name} is {value!r}, expected one of {', '.join(known)}")


@dataclass(frozen=True)
class Piece:
    """Consecutive valid steps of an episode: one LeRobot episode. Steps without data are left out, never filled."""

    episode: Episode
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def last(self) -> bool:
        """Whether the episode ends here."""
        return self.stop == len(self.episode)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="+", metavar="DATASET", help="training set; several of one robot become one")
    parser.add_argument("-o", "--out", required=True, metavar="FOLDER", help="new folder of the LeRobot dataset")
    parser.add_argument("--images", default="video", choices=IMAGES, help="png: bit for bit (default: %(default)s)")
    parser.add_argument("--codec", default="h264", choices=list(CODECS), help="of videos (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    totals = export(Dataset.open(args.dataset), Path(args.out), Options(args.images, args.codec))
    print(f"{args.out}: {totals['episodes']} episodes, {totals['frames']} steps, {totals['tasks']} tasks")
    if totals["left_out"]:
        print(f"{totals['left_out']} invalid steps are left out: episodes are cut there")
    return 0


def export(dataset: Dataset, out: Path, options: Options = Options()) -> dict[str, int]:
    """Write a training set as a LeRobot dataset into `out`, which must not exist yet.

    Returns how many episodes, frames, tasks there are, and the number of invalid steps left_out. The folder gets its
    name when it is complete.
    """
    out = Path(out)
    if out.exists():
        raise QtxError(f"{out} exists already, name a new folder for the LeRobot dataset")
    hidden = out.parent / f".{out.name}.{os.getpid()}"
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir(parents=True)
    try:
        totals = _Exporter(dataset, hidden, options).run()
        os.replace(hidden, out)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return totals


def pieces(episode: Episode) -> list[Piece]:
    """The runs of valid steps of an episode."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], episode.columns.valid.astype(int), [0]])))
    return [Piece(episode, int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


class _Exporter:
    """The files of one export while they grow."""

    def __init__(self, dataset: Dataset, root: Path, options: Options) -> None:
        self._spec, self._root = dataset.spec, root
        self._pieces = [piece for episode in dataset.episodes for piece in pieces(episode)]
        if not self._pieces:
            raise QtxError("the training set has no valid step to export")
        self._steps = sum(len(episode) for episode in dataset.episodes)
        self._fps = layout.fps(dataset.spec)
        codec = CODECS[options.codec]
        ages = all(np.isfinite(p.episode.columns.age[p.start : p.stop]).all() for p in self._pieces)
        self._features = layout.features(dataset.spec, options.images, video_info(codec, self._fps), ages)
        self._videos = {}
        if options.images == "video":
            sizes = {c.name: (c.height, c.width) for c in dataset.spec.cameras}
            self._videos = {n: VideoWriter(root, IMAGE + n, s, self._fps, codec) for n, s in sizes.items()}
        self._table = StepWriter(root, self._features)
        self._tasks: dict[str, int] = {}
        self._rows: list[dict] = []
        self._stats: dict[str, stats.Stats] = {}
        self._count = self._episodes = 0

    def run(self) -> dict[str, int]:
        try:
            with ThreadPoolExecutor(max(1, len(self._spec.cameras))) as pool:
                for piece in tqdm(self._pieces, unit="episode", desc="export", disable=None):
                    self._add(piece, pool)
        finally:
            for writer in (self._table, *self._videos.values()):
                writer.close()
        totals = {"episodes": self._episodes, "frames": self._count, "tasks": len(self._tasks)}
        self._finish(totals)
        return {**totals, "left_out": self._steps - self._count}

    def _finish(self, totals: Mapping[str, int]) -> None:
        self._flush()
        write_tasks(self._root, list(self._tasks))
        layout.write_json(self._root / "meta/stats.json", stats.plain(self._stats))
        layout.write_json(self._root / layout.SPEC_PATH, {"spec": self._spec.to_dict()})
        layout.write_json(self._root / "meta/info.json", layout.info(self._spec, self._features, totals))

    def _add(self, piece: Piece, pool: ThreadPoolExecutor) -> None:
        columns = self._columns(piece)
        looks = pool.map(lambda camera: self._watch(piece, camera.name), self._spec.cameras)
        found = {key: stats.number_stats(values) for key, values in columns.items()}
        row = {f"data/{name}": index for name, index in self._table.start().items()}
        if not self._videos:
            self._write_images(piece, columns, pool)
        else:
            self._table.write(columns)
        for camera, (where, pictures) in zip(self._spec.cameras, looks, strict=True):
            found[IMAGE + camera.name] = pictures
            row |= {f"videos/{IMAGE}{camera.name}/{name}": value for name, value in where.items()}
        self._stats = stats.merged([self._stats, found] if self._stats else [found])
        self._rows.append(self._row(piece) | row | _flat(found))
        self._count, self._episodes = self._count + len(piece), self._episodes + 1
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            write_episodes(self._root, (self._episodes - 1) // ROWS_AT_ONCE, self._rows)
            self._rows = []

    def _watch(self, piece: Piece, camera: str) -> tuple[dict, stats.Stats]:
        """Encode the frames of a camera, if it becomes a video: where it lies, and the statistics of its pictures."""
        samples, wanted = [], set((stats.sampled(len(piece)) + piece.start).tolist())

        def frames() -> Iterator[np.ndarray]:
            for step in range(piece.start, piece.stop):
                if self._videos or step in wanted:
                    frame = piece.episode.frame(camera, step)
                    if step in wanted:
                        samples.append(stats.levels(frame))
                    yield frame

        where = {}
        if self._videos:
            where = self._videos[camera].write(frames(), len(piece))
        else:
            for _ in frames():
                pass
        return where, stats.image_stats(samples)

    def _write_images(self, piece: Piece, columns: Mapping[str, np.ndarray], pool: ThreadPoolExecutor) -> None:
        for first in range(0, len(piece), STEPS_AT_ONCE):
            part = {key: values[first : first + STEPS_AT_ONCE] for key, values in columns.items()}
            steps = range(piece.start + first, min(piece.start + first + STEPS_AT_ONCE, piece.stop))
            for camera in self._spec.cameras:
                frames = functools.partial(piece.episode.frame, camera.name)
                part[IMAGE + camera.name] = list(pool.map(lambda step, frame=frames: _png(frame(step)), steps))
            self._table.write(part)

    def _columns(self, piece: Piece) -> dict[str, np.ndarray]:
        numbers, count = piece.episode.columns.cut(piece.start, piece.stop), len(piece)
        end, manifest, step = np.arange(count) == count - 1, piece.episode.manifest, np.arange(count)
        found = {layout.STATE: numbers.state, layout.ACTION: numbers.action, layout.REWARD: numbers.reward}
        found[layout.DONE] = end
        found[layout.SUCCESS] = end & (piece.last and manifest["label"] == "success")
        found[layout.TRUNCATED] = end & _truncated(piece)
        found |= {layout.INTERVENTION: numbers.intervention, layout.TICK: numbers.tick, layout.AGE: numbers.age}
        found |= {"timestamp": step / self._fps, "frame_index": step, "index": self._count + step}
        found["episode_index"] = np.full(count, self._episodes)
        task = self._tasks.setdefault(manifest["instruction"], len(self._tasks))
        found["task_index"] = np.full(count, task)
        known = {key: value for key, value in found.items() if key in self._features}
        return {key: value.astype(self._features[key]["dtype"]) for key, value in known.items()}

    def _row(self, piece: Piece) -> dict:
        """What `meta/episodes` says of an episode, besides its files and statistics; `qtx/…` is ours."""
        manifest = piece.episode.manifest
        return {
            "episode_index": self._episodes,
            "tasks": [manifest["instruction"]],
            "length": len(piece),
            "dataset_from_index": self._count,
            "dataset_to_index": self._count + len(piece),
            "qtx/episode": piece.episode.folder.name,
            "qtx/first_step": piece.start,
            "qtx/label": manifest["label"],
            "qtx/terminated": bool(piece.last and manifest["terminated"]),
            "qtx/truncated": _truncated(piece),
            "qtx/source": json.dumps(_source(manifest)),
        }


def _source(manifest: Mapping) -> dict:
    """The recording by name and hash: the folders of whoever exports are nobody's business."""
    source = manifest.get("source") or {}
    found = {"bag": Path(str(source.get("bag") or "")).name, "sha256": (source.get("key") or {}).get("sha256")}
    return {key: value for key, value in found.items() if value}


def _truncated(piece: Piece) -> bool:
    """A piece that ends before a gap was cut, whatever became of the episode."""
    return bool(not piece.last or piece.episode.manifest["truncated"])


def _flat(found: Mapping[str, stats.Stats]) -> dict:
    parts = stats.plain(found).items()
    return {f"stats/{key}/{name}": values for key, entry in parts for name, values in entry.items()}


def _png(frame: np.ndarray) -> bytes:
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
