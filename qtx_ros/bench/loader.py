"""`qtx bench loader`: training windows a second, against what decoding the same JPEG frames alone would allow."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from qtx_ros.bench.bags import picture
from qtx_ros.data.dataset import WORKERS, Dataset, Windows, write_index
from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.spec import Spec

SUCCESS = {"instruction": "push the button", "label": "success", "terminated": True, "truncated": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=224, help="edge of the square frames [px] (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="steps in the training set (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="windows in a batch (default: %(default)s)")
    parser.add_argument("--history", type=int, default=6, help="frames before each window (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    spec = _spec(args.size)
    with tempfile.TemporaryDirectory() as folder:
        rows = run(Path(folder), spec, args)
    print(f"frames of {args.size}x{args.size}, history {args.history} + 1, batches of {args.batch}")
    print(f"{'frames stored as':24} {'windows/s':>10} {'of the limit':>12} {'kB/step':>8}")
    for row in rows:
        print(f"{row['stored']:24} {row['windows_per_s']:10.0f} {row['of_limit']:12.0%} {row['kb_per_step']:8.1f}")
    facts = {"size": args.size, "batch": args.batch, "history": args.history}
    print(json.dumps({"benchmark": "loader", **facts, "rows": rows}))
    return 0


def run(folder: Path, spec: Spec, args: argparse.Namespace) -> list[dict]:
    """The limit first: the JPEG frames of the same batches, decoded and thrown away."""
    for codec in ("jpeg", "raw"):
        _write(folder / codec, spec, args.steps, codec)
    jpeg = Windows(Dataset.open(folder / "jpeg"), history=args.history)
    raw = Windows(Dataset.open(folder / "raw"), history=args.history)
    cached = Windows(Dataset.open(folder / "jpeg"), history=args.history, cache=True)
    limit = _limit(jpeg, args)
    cases = [("JPEG, decoding alone", limit, "jpeg")]
    cases += [("JPEG", _windows(jpeg, args), "jpeg"), ("raw, memory mapped", _windows(raw, args), "raw")]
    cases += [("JPEG, decoded once to RAM", _windows(cached, args), "jpeg")]
    return [
        {
            "stored": name,
            "windows_per_s": round(rate, 1),
            "of_limit": round(rate / limit, 3),
            "kb_per_step": round(_bytes(folder / codec) / args.steps / 1e3, 2),
        }
        for name, rate, codec in cases
    ]


def _limit(windows: Windows, args: argparse.Namespace) -> float:
    """Windows a second if bare OpenCV on all cores decoded their frames, each once per batch, and nothing else."""
    episodes = windows.dataset.episodes
    blobs = [np.fromfile(e.folder / f"frames_{c.name}.bin", np.uint8) for e in episodes for c in windows.spec.cameras]
    offsets = [np.load(e.folder / f"frames_{c.name}.npy") for e in episodes for c in windows.spec.cameras]
    frames = [b[o[i] : o[i + 1]] for b, o in zip(blobs, offsets, strict=True) for i in range(len(o) - 1)]

    def decode(part: np.ndarray) -> None:
        for row in part:
            cv2.imdecode(frames[row], cv2.IMREAD_COLOR)

    def batch(step: int) -> None:
        unique = np.unique(windows.rows(windows.draw(args.batch, 0, step)))
        list(pool.map(decode, np.array_split(unique, WORKERS)))

    with ThreadPoolExecutor(WORKERS) as pool:
        return _rate(batch, args)


def _windows(windows: Windows, args: argparse.Namespace) -> float:
    return _rate(lambda step: windows.batch(windows.draw(args.batch, 0, step)), args)


def _rate(work: Callable[[int], object], args: argparse.Namespace) -> float:
    """Windows a second of `work(step)`, which handles one batch."""
    work(0)
    started, step = time.perf_counter(), 0
    while time.perf_counter() - started < args.seconds:
        work(step)
        step += 1
    return step * args.batch / (time.perf_counter() - started)


def _spec(size: int) -> Spec:
    spec = Spec.load("sawyer_sim")
    return replace(spec, cameras=tuple(replace(camera, height=size, width=size) for camera in spec.cameras))


def _write(root: Path, spec: Spec, steps: int, codec: str) -> None:
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
        write_episode(root, f"episode{first}", spec, {c.name: frames for c in spec.cameras}, columns, SUCCESS, codec)
    write_index(root, spec)


def _bytes(root: Path) -> int:
    return sum(file.stat().st_size for file in root.glob("*/*"))
