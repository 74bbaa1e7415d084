"""Fewer bits: what they cost in bins and bring in time, on the data's own observations; kept only if they win."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from qtx_ros.data.dataset import Dataset
from qtx_ros.data.frames import Frames
from qtx_ros.deploy.bundle import ACT, FRAME, INSTRUCTION, TICK, Manifest, load_bundle, write_bundle_manifest
from qtx_ros.deploy.policy import Policy
from qtx_ros.deploy.sentences import text_reader
from qtx_ros.errors import QtxError
from qtx_ros.learn.lowering import PRECISIONS, Feed, lower
from qtx_ros.learn.parity import session

CALIBRATION = 128  # observations
COMPARED = 1000  # observations
WARM_UP = 20  # ticks that do not count for the time


@dataclass(frozen=True)
class Wanted:
    """What the export is asked for."""

    precision: str  # one of `lowering.PRECISIONS`
    data: tuple[str, ...] = ()  # the training sets of the run
    device: str = "cpu"  # where both are timed
    min_agreement: float = 0.99  # smallest share of bins that must be the same

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise QtxError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        if not 0 <= self.min_agreement <= 1:
            raise QtxError(f"min_agreement is {self.min_agreement}, expected a number in [0, 1]")
        if self.precision != "fp32" and not self.data:
            raise QtxError(f"precision {self.precision} is measured on the training set: name it with --data")
        if self.precision == "bf16" and self.device in ("auto", "cpu", "cuda"):
            raise QtxError(f"bf16 on device {self.device}: only tensorrt, torch-cuda and torch-cpu compute in bf16")


@dataclass(frozen=True)
class Comparison:
    """What was measured: both bundles on the same observations, taking turns, each with its own ring."""

    precision: str
    device: str  # that was used
    observations: int
    agreement: float  # share of bins that are the same
    whole_actions: float  # share of observations with all bins the same
    ms: float  # median of a tick
    fp32_ms: float

    def check(self, min_agreement: float) -> None:
        """QtxError unless it agrees and is faster."""
        times = f"{self.ms:.2f} ms against {self.fp32_ms:.2f} ms on {self.device}"
        if self.agreement < min_agreement:
            raise QtxError(
                f"{self.precision} chooses {self.agreement:.1%} of the bins of {self.observations} observations as "
                f"fp32 does, expected at least {min_agreement:.1%}: not kept ({times})"
            )
        if self.ms >= self.fp32_ms:
            raise QtxError(f"{self.precision} is slower ({times}): not kept")


@dataclass(frozen=True)
class Seen:
    """One observation of the data."""

    frames: np.ndarray  # uint8 [C, H, W, 3]
    state: np.ndarray  # float32 [S]
    instruction: str
    first: bool  # of an episode, or after a gap


def lower_bundle(folder: Path, manifest: Manifest, dataset: Dataset, wanted: Wanted) -> Manifest:
    """Replace the graphs in `folder` by those of another precision; the manifest with what was measured.

    QtxError if it is slower than float32 or agrees too little with it.
    """
    lowered = replace(manifest, precision=wanted.precision)
    with tempfile.TemporaryDirectory() as reference:
        shutil.copytree(folder, reference, dirs_exist_ok=True)
        write_bundle_manifest(reference, manifest)
        names = (FRAME, ACT, TICK) if manifest.picture else (TICK,)
        for name in names:
            lower(folder / name, wanted.precision, feeds(Path(reference), name, observations(dataset, CALIBRATION)))
        write_bundle_manifest(folder, lowered)
        policies = [Policy.load(path, wanted.device) for path in (reference, folder)]
        for policy in policies if wanted.device != "auto" else ():
            if policy.device != wanted.device:
                raise QtxError(f"cannot measure {wanted.precision}: {policy.device_line}")
        found = compare(*policies, list(observations(dataset, COMPARED)), wanted.precision)
    found.check(wanted.min_agreement)
    return replace(lowered, training={**manifest.training, "precision": asdict(found)})


def observations(dataset: Dataset, count: int) -> Iterator[Seen]:
    """About `count` valid observations of a training set, the first ones of each episode, in order."""
    reader, row = Frames(dataset.spec, dataset.episodes), 0
    each = -(-count // len(dataset))
    for episode in dataset.episodes:
        columns, before = episode.columns, -2
        for step in np.flatnonzero(columns.valid)[:each].tolist():
            frames = reader.read(np.array([row + step]))[0].copy()
            yield Seen(frames, columns.state[step], episode.manifest["instruction"], step != before + 1)
            before = step
        row += len(episode)


def feeds(folder: Path, name: str, seen: Iterator[Seen]) -> Iterator[Feed]:
    """Inputs of the graph `name` of a float32 bundle on these observations, the ring carried on."""
    tick, text = session(folder / TICK), session(folder / INSTRUCTION)
    frame, read = session(folder / FRAME) if name == ACT else None, text_reader(load_bundle(folder))
    ring = np.zeros(next(port.shape for port in tick.get_inputs() if port.name == "ring"), np.float32)
    for one in seen:
        features = text.run(None, {"tokens": read(one.instruction)[None]})[0]
        state = np.asarray(one.state, np.float32)
        given = {"state": state, "ring": ring, "first": np.array([one.first]), "features": features}
        if name == FRAME:
            yield from ({"frame": picture, "features": features} for picture in one.frames)
            continue
        whole = given | ({"frames": one.frames} if len(one.frames) else {})
        if name == ACT:
            tokens = [frame.run(None, {"frame": picture, "features": features})[0] for picture in one.frames]
            yield given | {f"tokens_{i}": array for i, array in enumerate(tokens)}
        else:
            yield whole
        ring = tick.run(["ring_out"], whole)[0]


def compare(reference: Policy, lowered: Policy, seen: list[Seen], precision: str) -> Comparison:
    """Both policies on the same observations; of a bundle that sees pictures before the tick, its way is measured."""
    cameras = [camera.name for camera in reference.spec.cameras]
    same, times = [], []
    for i, one in enumerate(seen):
        bins, spent = [], []
        frames = dict(zip(cameras, one.frames, strict=True))
        for policy in (reference, lowered)[:: 1 if i % 2 else -1]:
            policy.instruct(one.instruction)
            if one.first:
                policy.reset()
            begin = time.perf_counter_ns()
            if policy.sees:
                for name in cameras:
                    policy.see(name, frames[name])
            bins.append(policy.act(frames, one.state).bins)
            spent.append(time.perf_counter_ns() - begin)
        same.append(bins[0] == bins[1])
        times.append(spent[:: 1 if i % 2 else -1])
    fp32, low = np.median(np.array(times[min(WARM_UP, len(times) // 2) :]) / 1e6, axis=0)
    whole = float(np.mean([row.all() for row in same]))
    return Comparison(precision, lowered.device, len(seen), float(np.mean(same)), whole, round(low, 3), round(fp32, 3))
