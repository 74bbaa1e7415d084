"""`qtx data view SET [EPISODE] --out FILE`: a contact sheet (.png, .jpg) or a video (.mp4, .gif)."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.data.index import read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.data.tools import draw
from qtx_ros.data.tools.sheets import episode_sheet, set_sheet
from qtx_ros.data.tools.video import write_gif, write_mp4
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SHEETS, VIDEOS = (".png", ".jpg", ".jpeg"), {".mp4": write_mp4, ".gif": write_gif}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", type=Path, metavar="SET", help="folder of a training set")
    parser.add_argument("episode", nargs="?", metavar="EPISODE", help="one of its episodes (default: all)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="sheet: .png, .jpg; video: .mp4, .gif")
    parser.add_argument("--every", type=int, default=0, metavar="N", help="sheet: every Nth step (default: 60 evenly)")
    parser.add_argument("--rows", type=int, default=100, help="episodes shown if none is named, evenly (default 100)")


def main(args: argparse.Namespace) -> int:
    end = args.out.suffix.lower()
    if end not in SHEETS and end not in VIDEOS:
        raise QtxError(f"{args.out} ends in {end or 'nothing'}, expected one of {', '.join((*SHEETS, *VIDEOS))}")
    if args.every < 0 or args.rows < 1:
        raise QtxError(f"every is {args.every} and rows {args.rows}, expected at least 1 of each")
    spec, names = read_index(args.set)
    chosen = _chosen(args.set, names, args.episode, args.rows)
    episodes = [_open(args.set / name, spec) for name in chosen]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(_video(args.out, episodes, spec) if end in VIDEOS else _sheet(args.out, episodes, args))
    if len(episodes) < len(names) and args.episode is None:
        print(f"{len(episodes)} of {len(names)} episodes, more with --rows")
    return 0


def _open(folder: Path, spec: Spec) -> Episode:
    read_manifest(folder)
    return Episode(folder, spec)


def _chosen(root: Path, names: list[str], episode: str | None, rows: int) -> list[str]:
    if episode is None:
        if not names:
            raise QtxError(f"{root} holds no episode")
        return [names[i] for i in draw.spread(len(names), rows)]
    if episode not in names:
        raise QtxError(f"{root} has no episode {episode!r}, it has {', '.join(names[:5])}{' …' * (len(names) > 5)}")
    return [episode]


def _video(path: Path, episodes: list[Episode], spec: Spec) -> str:
    count = VIDEOS[path.suffix.lower()](path, episodes, spec.rate)
    return f"{path}: {count} steps at {spec.rate:g} Hz"


def _sheet(path: Path, episodes: list[Episode], args: argparse.Namespace) -> str:
    picture: np.ndarray = set_sheet(episodes) if args.episode is None else episode_sheet(episodes[0], args.every)
    if not cv2.imwrite(str(path), picture):
        raise QtxError(f"cannot write {path}")
    return f"{path}: {picture.shape[1]}×{picture.shape[0]}"
