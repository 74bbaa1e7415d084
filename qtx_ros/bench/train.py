"""`qtx bench train`: training samples a second and peak memory against batch size, on random batches."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from dataclasses import replace

import numpy as np

from qtx_ros.preprocess import TEXT_LENGTH, text_tokens
from qtx_ros.spec import Spec

WARM_UP = 2  # steps that do not count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robot", default="sawyer_sim", help="robot YAML or name (default: %(default)s)")
    parser.add_argument("--config", default="sawyer_sim", help="training YAML or name (default: %(default)s)")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64, 256], help="batch sizes (default: 16 64 256)")
    parser.add_argument("--steps", type=int, default=10, help="gradient steps that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    print(f"training {args.robot} with {args.config}, {args.threads} thread(s), {args.device}, {args.steps} steps each")
    print(
        f"{'batch':>6s} {'samples/s':>10s} {'ms/step':>9s} {'CPU ms/step':>12s} {'peak MB':>8s} {'of it steps MB':>15s}"
    )
    rows = []
    for size in args.batch:
        row = _in_own_process(size, args)
        rows.append(row)
        print(f"{size:6d} {row['samples_per_s']:10.0f} {row['ms']:9.1f} {row['cpu_ms']:12.1f} {row['peak_mb']:8.0f} "
              f"{row['steps_mb']:15.0f}", flush=True)  # fmt: skip
    print(json.dumps({"benchmark": "train", "threads": args.threads, "device": args.device, "batches": rows}))
    return 0


def measure(size: int, args: argparse.Namespace) -> dict:
    """Time and memory of `args.steps` gradient steps on batches of `size`; the peak is of the whole process."""
    import torch

    from qtx_ros.learn.train import read_config
    from qtx_ros.learn.trainer import Trainer

    config = replace(read_config(args.config), batch_size=size, threads=args.threads, device=args.device)
    spec = Spec.load(args.robot)
    trainer = Trainer(spec, config, seed=0)
    before = _peak_mb()
    batch = random_batch(spec, size, config.n_step)
    for step in range(WARM_UP + args.steps):
        if step == WARM_UP:
            wall, cpu = time.perf_counter(), time.process_time()
        float(trainer.update(batch)["loss"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated() / 1e6 if trainer.device.type == "cuda" else _peak_mb()
    return {
        "batch": size,
        "samples_per_s": round(size * args.steps / wall, 1),
        "ms": round(1e3 * wall / args.steps, 2),
        "cpu_ms": round(1e3 * cpu / args.steps, 2),
        "peak_mb": round(peak, 1),
        "steps_mb": round(peak - before if trainer.device.type == "cpu" else peak, 1),
    }


def random_batch(spec: Spec, size: int, steps: int) -> dict[str, np.ndarray]:
    """A batch as `Windows.batch` gives it, of noise."""
    rng = np.random.default_rng(0)
    ticks, camera = spec.history + steps, spec.cameras[0]
    numbers = {name: rng.random(size, np.float32) for name in ("reward", "discount", "returns")}
    tokens = np.broadcast_to(text_tokens("open the drawer"), (size, TEXT_LENGTH)).copy()
    return {
        "frames": rng.integers(0, 256, (size, ticks, len(spec.cameras), camera.height, camera.width, 3), np.uint8),
        "state": rng.normal(size=(size, ticks, len(spec.state_names))).astype(np.float32),
        "bins": np.stack([rng.integers(0, d.bins, size) for d in spec.dimensions], 1),
        "terminal": np.zeros(size, np.float32),
        "tokens": tokens,
        "success": np.ones(size, bool),
        **numbers,
    }


def _in_own_process(size: int, args: argparse.Namespace) -> dict:
    """A fresh process for each batch size, so that peaks do not add up."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (size, args))


def _peak_mb() -> float:
    """Largest resident memory of this process so far [MB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
