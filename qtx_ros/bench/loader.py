"""`qtx bench loader`: training windows a second, against what decoding the same JPEG frames alone would allow."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from qtx_ros.bench.bags import picture
from qtx_ros.data import jpeg
from qtx_ros.data.dataset import Dataset, Windows, write_index
from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.spec import Spec

SUCCESS = {"instruction": "push the button", "label": "success", "terminated": True, "truncated": False}
WARM = 4  # batches before the clock starts: the loader works ahead by less
PART = 16  # frames that a thread of the limit takes at a time
Timing = tuple[float, float]  # [s] of the wall clock, of all cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=224, help="edge of the square frames [px] (default: %(default)s)")
    parser.add_argument("--cameras", type=int, default=1, help="cameras of the robot (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="steps in the training set (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="windows in a batch (default: %(default)s)")
    parser.add_argument("--history", type=int, default=6, help="frames before each window (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=20, help="batches of one round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds; their median counts (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    spec = _spec(args.size, args.cameras)
    with tempfile.TemporaryDirectory() as folder:
        rows = run(Path(folder), spec, args)
    print(
        f"{args.cameras} camera(s) of {args.size}x{args.size}, history {args.history} + 1, batches of {args.batch}, "
        f"{os.cpu_count()} threads, {jpeg.library()}"
    )
    print(f"{'frames stored as':26} {'windows/s':>10} {'of the limit':>12} {'CPU of it':>10} {'kB/step':>8}")
    for row in rows:
        print(
            f"{row['stored']:26} {row['windows_per_s']:10.0f} {row['of_limit']:12.1%} {row['cpu_of_limit']:10.1%} "
            f"{row['kb_per_step']:8.1f}"
        )
    facts = {"size": args.size, "cameras": args.cameras, "batch": args.batch, "history": args.history}
    print(json.dumps({"benchmark": "loader", **facts, "decoder": jpeg.library(), "rows": rows}))
    return 0


def run(folder: Path, spec: Spec, args: argparse.Namespace) -> list[dict]:
    """The limit is the bare decoder on the frames of the same batches; the cases take turns with it, round by round."""
    for codec in ("jpeg", "raw"):
        write_set(folder / codec, spec, args.steps, codec)
    stored, raw = (Windows(Dataset.open(folder / codec), history=args.history) for codec in ("jpeg", "raw"))
    cached = Windows(Dataset.open(folder / "jpeg"), history=args.history, cache=True)
    cases: dict[str, tuple[Callable[[int], Timing], str]] = {
        "JPEG, decoding alone": (_limit(stored, args), "jpeg"),
        "JPEG": (lambda first: _load(stored, first, args), "jpeg"),
        "raw, memory mapped": (lambda first: _load(raw, first, args), "raw"),
        "JPEG, decoded once to RAM": (lambda first: _load(cached, first, args), "jpeg"),
    }
    rounds = [[measure(i * args.batches) for measure, _ in cases.values()] for i in range(args.rounds)]
    sizes = {codec: sum(file.stat().st_size for file in (folder / codec).glob("*/*")) for codec in ("jpeg", "raw")}
    return [
        {
            "stored": name,
            "windows_per_s": round(args.batches * args.batch / statistics.median(r[k][0] for r in rounds), 1),
            "of_limit": round(statistics.median(r[0][0] / r[k][0] for r in rounds), 3),
            "cpu_of_limit": round(statistics.median(r[k][1] / r[0][1] for r in rounds), 3),
            "kb_per_step": round(sizes[codec] / args.steps / 1e3, 2),
        }
        for k, (name, (_, codec)) in enumerate(cases.items())
    ]


def _limit(windows: Windows, args: argparse.Namespace) -> Callable[[int], Timing]:
    """Time to decode the frames of some batches, each frame once per batch, into memory for a batch:
    nothing else, on as many threads, which never wait for each other."""
    episodes, cameras = windows.dataset.episodes, windows.spec.cameras
    blobs = [_blobs(episode.folder, camera.name) for camera in cameras for episode in episodes]
    frames = [frame for blob in blobs for frame in blob]
    decode, threads = _bare_decoder(), os.cpu_count() or 1
    out = np.zeros((args.batch * (args.history + 1), cameras[0].height, cameras[0].width, 3), np.uint8)

    def work(start: int, part: list[int]) -> None:
        for i, frame in enumerate(part):
            decode(frames[frame], out[(start + i) % len(out)])

    def measure(first: int) -> Timing:
        draws = [windows.draw(args.batch, 0, first + k) for k in range(args.batches)]
        unique = [np.unique(windows.places(draw)[0]) for draw in draws]
        wanted = np.concatenate([rows + c * args.steps for rows in unique for c in range(len(cameras))])
        with ThreadPoolExecutor(threads) as pool:
            clock = _Clock()
            starts = range(0, len(wanted), PART)
            list(pool.map(work, starts, [wanted[start : start + PART].tolist() for start in starts]))
            return clock.read()

    return measure


def _bare_decoder() -> Callable[[np.ndarray, np.ndarray], object]:
    """What `jpeg` decodes with, without anything around it."""
    if jpeg.library().startswith("OpenCV"):
        return lambda data, out: cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB, dst=out)
    import simplejpeg

    return lambda data, out: simplejpeg.decode_jpeg(data, "RGB", buffer=out)


def _load(windows: Windows, first: int, args: argparse.Namespace) -> Timing:
    """Time of some batches from one to the next, while the loader works ahead as in training."""
    stream = windows.batches(args.batch, 0, first)
    for _ in range(WARM):
        next(stream)
    clock = _Clock()
    for _ in range(args.batches):
        next(stream)
    timing = clock.read()
    stream.close()
    return timing


class _Clock:
    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> Timing:
        """[s] since the start: wall clock, all cores."""
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def _spec(size: int, cameras: int) -> Spec:
    spec = Spec.load("sawyer_sim")
    first = replace(spec.cameras[0], height=size, width=size)
    more = [replace(first, name=f"camera{i}", topic=f"camera{i}/image_raw") for i in range(1, cameras)]
    return replace(spec, cameras=(first, *more))


def _blobs(folder: Path, camera: str) -> list[np.ndarray]:
    blob, offsets = np.fromfile(folder / f"frames_{camera}.bin", np.uint8), np.load(folder / f"frames_{camera}.npy")
    return [blob[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]


def write_set(root: Path, spec: Spec, steps: int, codec: str) -> None:
    """A training set of episodes of 100 steps."""
    size, random = spec.cameras[0].height, np.random.default_rng(0)
    for first in range(0, steps, 100):
        count = min(100, steps - first)
        frames = np.stack([picture(size, size, (first + i) / spec.rate) for i in range(count)])
        columns = Columns(
            state=random.normal(size=(count, len(spec.state_names))),
            action=random.uniform(-0.1, 0.1, (count, len(spec.dimensions))),
            reward=np.eye(count)[-1],
            tick=np.arange(first, first + count) * spec.period_ns,
            valid=np.ones(count, bool),
            age=np.zeros((count, len(spec.cameras) + len(spec.states))),
        )
        name = f"episode{first:06d}"
        write_episode(root, name, spec, {c.name: frames for c in spec.cameras}, columns, SUCCESS, codec)
    write_index(root, spec)
