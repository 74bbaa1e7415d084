"""`qtx bench convert`: bags into a training set, how many times faster than real time on one core."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

TYPES = {"raw": "sensor_msgs/msg/Image", "jpeg": "sensor_msgs/msg/CompressedImage"}
CAMERA_HZ, STATE_HZ = 30.0, 100.0
LARGE = 224  # [px] the other size that a network may want


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    images: str  # raw or jpeg, in the bag
    cameras: int
    rate: float  # ticks per second [Hz]
    size: int  # of the stored frames [px]
    codec: str = "jpeg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each bag (default: %(default)s)")
    parser.add_argument("--robot", default="sawyer_sim", help="robot description (default: %(default)s)")
    parser.add_argument("--image", type=int, nargs=2, default=(480, 640), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    spec = Spec.load(args.robot)
    with tempfile.TemporaryDirectory() as folder:
        rows = run(Path(folder), spec, args.seconds, tuple(args.image), args.repeat)
    height, width = args.image
    rates = f"at {CAMERA_HZ:.0f} Hz, joints at {STATE_HZ:.0f} Hz"
    print(f"one core; cameras of {height}x{width} {rates}, {args.seconds:g} s per bag")
    head = f"{'cameras':>7} {'bag':>5} {'ticks/s':>7} {'frames':>7} {'stored':>6} {'bag MB':>7} {'CPU s':>6}"
    print(f"{head} {'× real time':>11}")
    for row in rows:
        print(
            f"{row['cameras']:7} {row['images']:>5} {row['rate']:7g} {row['size']:>7} {row['codec']:>6} "
            f"{row['bag_mb']:7.0f} {row['cpu_s']:6.2f} {row['x_real_time_per_core']:11.1f}"
        )
    print(json.dumps({"benchmark": "convert", "seconds": args.seconds, "image": list(args.image), "rows": rows}))
    return 0


def cases(spec: Spec) -> list[Case]:
    """Two JPEG cameras as the robot wants them, at half its rate, and larger; then one camera, raw and JPEG."""
    size = spec.cameras[0].height
    two = [Case("jpeg", 2, rate, pixels) for pixels in (size, LARGE) for rate in (spec.rate, spec.rate / 2)]
    one = [Case(images, 1, spec.rate, size, codec) for images in TYPES for codec in ("jpeg", "raw")]
    return two + one


def run(folder: Path, spec: Spec, seconds: float, image: tuple[int, int], repeat: int = 3) -> list[dict]:
    """Convert the bag of each case; the best of `repeat` runs counts."""
    rows = []
    for number, case in enumerate(cases(spec)):
        robot, name = _robot(spec, case), f"{case.images}{case.cameras}"
        bag = folder / name
        if not bag.exists():
            script = Script(robot, seconds, CAMERA_HZ, STATE_HZ, image=image, contract=True)
            write_bag(folder, name, script)
        runs = [_measure(bag, robot, folder / f"set{number}.{i}", case.codec) for i in range(repeat)]
        rows.append({**vars(case), **min(runs, key=lambda numbers: numbers["cpu_s"])})
    return rows


def _robot(spec: Spec, case: Case) -> Spec:
    """The robot with the cameras of a case in place of its own."""
    first = replace(spec.cameras[0], type=TYPES[case.images], height=case.size, width=case.size, crop=None)
    more = [replace(first, name=f"camera{i}", topic=f"camera{i}/image") for i in range(1, case.cameras)]
    return replace(spec, rate=case.rate, cameras=(first, *more))


def _measure(bag: Path, spec: Spec, out: Path, codec: str) -> dict:
    size = sum(file.stat().st_size for file in bag.iterdir()) / 1e6
    started = time.process_time()
    (row,) = convert([bag], Options(out, spec, any_contract=True, codec=codec))
    spent = time.process_time() - started
    if row.status != "converted":
        raise QtxError(row.reason)
    ticks = Dataset.open(out).episodes[0].columns.tick
    recorded = (ticks[-1] - ticks[0]) / 1e9
    numbers = {"bag_mb": size, "cpu_s": spent, "x_real_time_per_core": recorded / spent, "mb_per_s": size / spent}
    return {name: round(value, 3) for name, value in numbers.items()}
