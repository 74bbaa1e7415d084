"""`qtx bench convert`: bags into a training set, how many times faster than real time on one core."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data.convert import Options, convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera, Spec

COMPRESSED = "sensor_msgs/msg/CompressedImage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each bag (default: %(default)s)")
    parser.add_argument("--robot", default="sawyer_sim", help="robot description (default: %(default)s)")
    parser.add_argument("--image", type=int, nargs=2, default=(480, 640), metavar=("HEIGHT", "WIDTH"))


def main(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    spec = Spec.load(args.robot)
    with tempfile.TemporaryDirectory() as folder:
        rows = run(Path(folder), spec, args.seconds, tuple(args.image))
    print(f"one core, {len(spec.cameras)} camera(s) of {args.image[0]}x{args.image[1]}, {args.seconds:.0f} s per bag")
    print(f"{'images in the bag':18} {'stored as':10} {'bag MB':>7} {'CPU s':>6} {'× real time':>11} {'MB/s':>6}")
    for row in rows:
        print(
            f"{row['images']:18} {row['codec']:10} {row['bag_mb']:7.0f} {row['cpu_s']:6.2f} "
            f"{row['x_real_time_per_core']:11.0f} {row['mb_per_s']:6.0f}"
        )
    print(json.dumps({"benchmark": "convert", "seconds": args.seconds, "image": list(args.image), "rows": rows}))
    return 0


def run(folder: Path, spec: Spec, seconds: float, image: tuple[int, int]) -> list[dict]:
    """Convert a bag of raw and one of compressed images, stored as JPEG and raw."""
    rows = []
    for images, robot in (("raw", spec), ("jpeg", _compressed(spec))):
        bag = write_bag(folder, images, Script(robot, seconds=seconds, image=image, contract=True))
        _measure(bag, robot, folder / f"{images}-warm", "raw")
        rows += [{"images": images, **_measure(bag, robot, folder / f"{images}-{c}", c)} for c in ("jpeg", "raw")]
    return rows


def _measure(bag: Path, spec: Spec, out: Path, codec: str) -> dict:
    size = sum(file.stat().st_size for file in bag.iterdir()) / 1e6
    started = time.process_time()
    (row,) = convert([bag], Options(out, spec, codec=codec))
    spent = time.process_time() - started
    if row.status != "converted":
        raise QtxError(row.reason)
    ticks = Dataset.open(out).episodes[0].columns.tick
    recorded = (ticks[-1] - ticks[0]) / 1e9
    numbers = {"bag_mb": size, "cpu_s": spent, "x_real_time_per_core": recorded / spent, "mb_per_s": size / spent}
    return {"codec": codec, **{name: round(value, 2) for name, value in numbers.items()}}


def _compressed(spec: Spec) -> Spec:
    cameras: Sequence[Camera] = [replace(camera, type=COMPRESSED) for camera in spec.cameras]
    return replace(spec, cameras=tuple(cameras))
