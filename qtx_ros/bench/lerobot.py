"""`qtx bench lerobot`: training sets → LeRobot datasets, beside lerobot's own writer on the same frames."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data.convert import Options as ConvertOptions
from qtx_ros.data.convert import convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.data.episode import Episode, write_episode
from qtx_ros.data.lerobot import layout
from qtx_ros.data.lerobot.export import Options, export, pieces
from qtx_ros.data.lerobot.layout import IMAGE
from qtx_ros.data.lerobot.reader import LeRobotFolder
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera, Spec

PEER = Path(__file__).with_name("lerobot_peer.py")
FLOOR = 8.0  # times less CPU
OURS = {
    "ours: set → LeRobot, h264": Options(),
    "ours: set → LeRobot, av1": Options(codec="av1"),
    "ours: set → LeRobot, png": Options("png"),
}
THEIRS = {
    "lerobot: as it comes (av1)": {},
    "lerobot: av1, streaming": {"streaming_encoding": True},
    "lerobot: h264": {"vcodec": "h264"},
    "lerobot: h264, streaming": {"vcodec": "h264", "streaming_encoding": True},
    "lerobot: png": {"use_videos": False},
}

PAIRS = {  # the first three are what the floor is for
    "frames → training set / lerobot as it comes": ("ours: frames → training set", "lerobot: as it comes (av1)"),
    "export h264 / lerobot as it comes": ("ours: set → LeRobot, h264", "lerobot: as it comes (av1)"),
    "export h264 / lerobot h264": ("ours: set → LeRobot, h264", "lerobot: h264"),
    "export av1 / lerobot as it comes, same settings": ("ours: set → LeRobot, av1", "lerobot: as it comes (av1)"),
    "export png / lerobot png": ("ours: set → LeRobot, png", "lerobot: png"),
    "export h264 / lerobot h264, streaming": ("ours: set → LeRobot, h264", "lerobot: h264, streaming"),
    "export av1 / lerobot av1, streaming": ("ours: set → LeRobot, av1", "lerobot: av1, streaming"),
    "bags → training set / the same reading, then lerobot": ("ours: bags → training set", "lerobot from bags"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lerobot-python", metavar="PATH", help="Python that has lerobot; without it: our rows only")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each of two bags (default: %(default)s)")
    parser.add_argument("--image", type=int, nargs=2, default=(480, 640), metavar=("H", "W"), help="in the bags [px]")
    parser.add_argument("--stored", type=int, nargs=2, default=(224, 224), metavar=("H", "W"), help="in the sets [px]")
    parser.add_argument("--rate", type=float, default=10.0, help="[Hz] of steps (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    spec = robot(args.rate, tuple(args.stored))
    with tempfile.TemporaryDirectory() as folder:
        rows, frames = run(Path(folder), spec, args.seconds, tuple(args.image), args.lerobot_python)
    size, stored = ("x".join(map(str, shape)) for shape in (args.image, args.stored))
    print(f"2 bags of {args.seconds:g} s, 2 cameras {size} JPEG, 30 Hz → {frames} frames {stored}, {args.rate:g} Hz")
    print(f"{'':36} {'CPU s':>7} {'ms/frame':>8} {'wall s':>7} {'MB':>7} {'dB':>5}")
    for row in rows:
        cpu, each = row["cpu_s"], 1000 * row["cpu_s"] / frames
        print(f"{row['name']:36} {cpu:7.2f} {each:8.2f} {row['wall_s']:7.2f} {row['mb']:7.1f} {row.get('db', ''):>5}")
    ratios = compare({row["name"]: row["cpu_s"] for row in rows})
    for name, ratio in ratios.items():
        print(f"{name:54} {ratio:6.1f} × less CPU{f', floor {FLOOR:g}' if name in list(PAIRS)[:3] else ''}")
    data = {"seconds": args.seconds, "image": args.image, "stored": args.stored, "rate": args.rate, "frames": frames}
    print(json.dumps({"benchmark": "lerobot", **data, "rows": rows, "ratios": ratios, "floor": FLOOR}))
    return 0


def robot(rate: float, stored: tuple[int, int]) -> Spec:
    """The simulated robot with two cameras."""
    cameras = [Camera(n, f"{n}/image", *stored, type="sensor_msgs/msg/CompressedImage") for n in ("left", "right")]
    return replace(Spec.load("sawyer_sim"), rate=rate, tick="timer", cameras=tuple(cameras))


def run(folder: Path, spec: Spec, seconds: float, image: tuple[int, int], python: str | None) -> tuple[list, int]:
    """All rows (name, cpu_s, wall_s, mb; of videos db) and the number of frames that each wrote."""
    for module in ("av", "pyarrow.parquet"):  # imports count neither here nor there
        importlib.import_module(module)
    script = Script(spec, seconds=seconds, image=image, camera_hz=30.0, contract=True, label="success")
    bags = [write_bag(folder, f"bag{seed}", replace(script, seed=seed)) for seed in range(2)]
    rows = [_ours("ours: bags → training set", folder / "set", lambda out: _convert(bags, out, spec))]
    dataset = Dataset.open(folder / "set")
    rows.append(_native(dataset, folder / "frames"))
    for number, (name, options) in enumerate(OURS.items()):
        out = folder / f"ours{number}"
        rows.append(_ours(name, out, lambda out, o=options: export(dataset, out, o)) | quality(dataset, out))
    frames = len(spec.cameras) * sum(len(piece) for episode in dataset.episodes for piece in pieces(episode))
    for number, (name, options) in enumerate(THEIRS.items() if python else ()):
        source = folder / f"steps{number}"
        dump(dataset, source, "video" if options.get("use_videos", True) else "png")
        out = folder / f"theirs{number}"
        rows.append({"name": name, **_theirs(python, source, out, options), **quality(dataset, out)})
    return rows, frames


def compare(cpu: dict[str, float]) -> dict[str, float]:
    """How many times less CPU ours takes, pair by pair; empty without lerobot."""
    if len(cpu) <= len(OURS) + 2:
        return {}
    before = cpu["ours: bags → training set"] - cpu["ours: frames → training set"]
    cpu = cpu | {"lerobot from bags": before + cpu["lerobot: as it comes (av1)"]}
    return {name: round(cpu[theirs] / cpu[ours], 2) for name, (ours, theirs) in PAIRS.items()}


def quality(dataset: Dataset, out: Path) -> dict[str, float]:
    """How well the first episode's frames came through a video: `db`, PSNR over all of its first camera."""
    found, first = LeRobotFolder(out), pieces(dataset.episodes[0])[0]
    camera = dataset.spec.cameras[0].name
    if IMAGE + camera not in found.videos:
        return {}
    errors = [
        np.mean((image.astype(np.float32) - first.episode.frame(camera, first.start + step)) ** 2)
        for step, image in enumerate(found.frames(found.entries[0], IMAGE + camera))
    ]
    return {"db": round(float(10 * np.log10(255**2 / np.mean(errors))), 1)}


def dump(dataset: Dataset, folder: Path, images: str) -> None:
    """The valid steps of a training set as plain arrays, for lerobot's writer in another Python."""
    folder.mkdir()
    spec, parts = dataset.spec, [piece for episode in dataset.episodes for piece in pieces(episode)]
    known = layout.features(spec, images, {}, ages=False)
    features = {key: f for key, f in known.items() if key not in layout.INDEX and not key.startswith(("qtx.", "next."))}
    recipe = {"fps": layout.fps(spec), "features": features}
    (folder / "features.json").write_text(json.dumps(recipe))
    for camera in spec.cameras:
        frames = [piece.episode.frame(camera.name, step) for piece in parts for step in range(piece.start, piece.stop)]
        np.save(folder / f"{IMAGE}{camera.name}.npy", np.stack(frames))

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(p.episode.columns.cut(p.start, p.stop), name) for p in parts])

    lengths = [len(piece) for piece in parts]
    columns = {layout.STATE: "state", layout.ACTION: "action", layout.INTERVENTION: "intervention"}
    steps = {key: column(name) for key, name in columns.items()}
    tasks = np.repeat([piece.episode.manifest["instruction"] for piece in parts], lengths)
    np.savez(folder / "steps.npz", **steps, episode=np.repeat(np.arange(len(parts)), lengths), task=tasks)


def write_with_lerobot(python: str, source: Path, out: Path, options: dict) -> dict:
    """Let lerobot write what `dump` left in `source`: its version, cpu_s (children too) and wall_s."""
    given = [f"{key}={json.dumps(value)}" for key, value in options.items()]
    return json.loads(ask_lerobot(python, "write", str(source), str(out), *given).splitlines()[-1])


def ask_lerobot(python: str, *arguments: str) -> str:
    """Run `lerobot_peer.py` with a Python that has lerobot; what it printed."""
    command = [python, str(PEER), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    except OSError as error:
        raise QtxError(f"cannot run {python}: {error.strerror}, name a Python that has lerobot") from None
    if done.returncode:
        raise QtxError(f"{python} failed: {' '.join(done.stderr.split())[-300:] or done.returncode}")
    return done.stdout


def _theirs(python: str, source: Path, out: Path, options: dict) -> dict:
    found = write_with_lerobot(python, source, out, options)
    return {**{key: round(found[key], 3) for key in ("cpu_s", "wall_s")}, "mb": _mb(out), "lerobot": found["lerobot"]}


def _ours(name: str, out: Path, work: Callable[[Path], Any]) -> dict:
    before, started = _cpu(), time.perf_counter()
    work(out)
    took = {"cpu_s": round(_cpu() - before, 3), "wall_s": round(time.perf_counter() - started, 3)}
    return {"name": name, **took, "mb": _mb(out)}


def _convert(bags: Sequence[Path], out: Path, spec: Spec) -> None:
    for row in convert(bags, ConvertOptions(out, spec)):
        if row.status != "converted":
            raise QtxError(row.reason)


def _decoded(episode: Episode) -> dict[str, list]:
    """An episode's frames as lerobot gets them; None where a step has none."""
    valid, names = episode.columns.valid, [camera.name for camera in episode.spec.cameras]
    return {name: [episode.frame(name, i) if good else None for i, good in enumerate(valid)] for name in names}


def _native(dataset: Dataset, out: Path) -> dict:
    decoded = [_decoded(episode) for episode in dataset.episodes]

    def write(out: Path) -> None:
        for episode, frames in zip(dataset.episodes, decoded, strict=True):
            write_episode(out, episode.folder.name, dataset.spec, frames, episode.columns, episode.manifest)

    return _ours("ours: frames → training set", out, write)


def _cpu() -> float:
    """CPU seconds of this process with all its threads, and of its children."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2)
