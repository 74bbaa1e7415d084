"""`qtx bench tick --table`: the one graph of the shipped architecture over history, dimensions, bins and image size."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from qtx_ros.deploy.policy import Policy
from qtx_ros.paths import share
from qtx_ros.spec import ActionDimension, CommandStream, Spec

WARM_UP = 10  # ticks that do not count


@dataclass(frozen=True)
class Cell:
    """One size of the policy."""

    history: int  # frames
    image: int  # height and width [px]
    dimensions: int
    bins: int

    def spec(self) -> Spec:
        """The simulated robot, changed to this size."""
        robot = Spec.load("sawyer_sim")
        dimensions = tuple(ActionDimension(f"d{i}", -1, 1, self.bins) for i in range(self.dimensions))
        return replace(
            robot,
            history=self.history,
            cameras=tuple(replace(camera, height=self.image, width=self.image) for camera in robot.cameras),
            commands=(CommandStream("command", dimensions),),
        )


CELLS = tuple(Cell(*sizes) for sizes in itertools.product((1, 6), (64, 128, 224), (4, 8), (21, 256)))


def run(config: str | None, ticks: int, threads: int) -> int:
    """Measure and print the table over `CELLS` and the JSON line."""
    times = measure(CELLS, config, ticks, threads)
    columns = list(dict.fromkeys((cell.dimensions, cell.bins) for cell in CELLS))
    print(f"one tick in one graph, p50 ms (p99), {threads} thread(s), {ticks} ticks each, in turn")
    print(f"{'history':>7s} {'image':>6s} " + " ".join(f"{f'{d} × {b} bins':>15s}" for d, b in columns))
    for history, image in dict.fromkeys((cell.history, cell.image) for cell in CELLS):
        row = [np.percentile(times[Cell(history, image, *column)], (50, 99)) for column in columns]
        print(f"{history:7d} {f'{image}²':>6s} " + " ".join(f"{f'{p50:.2f} ({p99:.2f})':>15s}" for p50, p99 in row))
    cells = [{**asdict(cell), **_percentiles(found)} for cell, found in times.items()]
    print(json.dumps({"benchmark": "tick", "threads": threads, "ticks": ticks, "table": cells}))
    return 0


def measure(cells: Sequence[Cell], config: str | None, ticks: int, threads: int) -> dict[Cell, np.ndarray]:
    """Wall times [ticks] in ms of each size, initial weights; the policies take turns, tick by tick."""
    times: dict[Cell, list[float]] = {cell: [] for cell in cells}
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        policies = {cell: _policy(cell, config, Path(folder) / str(i), threads) for i, cell in enumerate(cells)}
    for _ in range(WARM_UP + ticks):
        for cell, policy in policies.items():
            frame = rng.integers(0, 256, (cell.image, cell.image, 3), np.uint8)
            frames = {camera.name: frame for camera in policy.spec.cameras}
            choice = policy.act(frames, rng.normal(size=len(policy.spec.state_names)))
            times[cell].append((choice.input_ns + choice.run_ns) / 1e6)
    return {cell: np.array(found[WARM_UP:]) for cell, found in times.items()}


def _policy(cell: Cell, config: str | None, folder: Path, threads: int) -> Policy:
    from qtx_ros import config as configs
    from qtx_ros.deploy.bundle import Manifest, write_bundle_manifest
    from qtx_ros.learn import export
    from qtx_ros.learn.settings import TrainConfig
    from qtx_ros.learn.trainer import build_model

    spec = cell.spec()
    model = build_model(spec, configs.load(TrainConfig, config or share("config/train/sawyer_sim.yaml")), 0).eval()
    folder.mkdir()
    export.write_graphs(model, spec, folder)
    write_bundle_manifest(folder, Manifest("bench", spec, model.ring_shape, model.feature_size))
    policy = Policy.load(folder, "cpu", threads)
    policy.instruct("open the drawer")
    return policy


def _percentiles(times: np.ndarray) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(times, p)), 3) for p in (50, 99)}
