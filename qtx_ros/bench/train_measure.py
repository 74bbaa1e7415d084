"""Gradient steps of one configuration in a process of its own: time, memory, and where the time goes."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtx_ros.spec import Spec

if TYPE_CHECKING:
    from qtx_ros.learn.settings import TrainConfig

WARM_UP = 2  # steps that do not count
REPEATS = 3  # of each part; their median counts


@dataclass(frozen=True)
class Job:
    """What to measure."""

    spec: Spec
    config: TrainConfig
    steps: int  # that count
    warm: int = WARM_UP
    parts: bool = False  # also where the time goes, measured afterwards


def measure(job: Job) -> dict:
    """The measurements of a job, by a fresh process, so that peaks do not add up."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (job,))


def _measure(job: Job) -> dict:
    import torch

    from qtx_ros.learn.trainer import Trainer

    with tempfile.TemporaryDirectory() as folder:
        windows = _windows(Path(folder), job)
        trainer = Trainer(job.spec, job.config, seed=0)
        trainer.set_statistics(windows)
        before, size = _peak_mb(), job.config.batch_size
        batches = [windows.batch(windows.draw(size, 0, step)) for step in range(job.warm + job.steps)]
        for step, batch in enumerate(batches):
            if step == job.warm:
                wall, cpu = time.perf_counter(), time.process_time()
            float(trainer.update(batch)["loss"])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        cuda = trainer.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated() / 1e6 if cuda else _peak_mb()
        found = {
            "batch": size,
            "chunk": job.config.chunk,
            "frames": round(statistics.mean(len(batch["frames"]) for batch in batches)),
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            "samples_per_s": round(size * job.steps / wall, 3),
            "samples_per_cpu_s": round(size * job.steps / cpu, 3),
            "ms": round(1e3 * wall / job.steps, 2),
            "cpu_ms": round(1e3 * cpu / job.steps, 2),
            "peak_mb": round(peak, 1),
            "steps_mb": round(peak if cuda else peak - before, 1),
        }
        return found | ({"parts": where_time_goes(trainer, windows)} if job.parts else {})


def where_time_goes(trainer, windows) -> dict[str, float]:
    """CPU ms of each part of a gradient step; `decode` is context, decoder and losses of both networks."""
    import torch

    from qtx_ros.learn import contexts

    rounds = []
    for k in range(REPEATS):
        times: dict[str, float] = {}
        arrays = _timed(times, "loader", lambda k=k: windows.batch(windows.draw(trainer.config.batch_size, 1, k)))
        batch = _timed(times, "augment", lambda a=arrays: trainer.prepare(a))
        used = batch["here"].unique()
        _timed(times, "encode online", lambda b=batch, u=used: contexts.encode(trainer.model, b, u))
        with torch.no_grad():
            _timed(times, "encode target", lambda b=batch: contexts.encode(trainer.target, b))
        loss, _ = _timed(times, "decode", lambda b=batch: trainer.loss(b))
        targets = times["encode target"] if trainer.config.method not in ("bc", "dt") else 0.0
        times["decode"] -= times["encode online"] + targets
        _timed(times, "backward", loss.backward)
        _timed(times, "optimiser", trainer.apply)
        rounds.append(times)
    return {name: round(statistics.median(times[name] for times in rounds), 2) for name in rounds[0]}


def _timed(times: dict[str, float], name: str, work: Callable):
    start = time.process_time()
    result = work()
    times[name] = 1e3 * (time.process_time() - start)
    return result


def _windows(folder: Path, job: Job):
    """Transitions of a training set of JPEG pictures, decoded once into memory as in training."""
    from qtx_ros.bench.loader import write_set
    from qtx_ros.data.dataset import Dataset
    from qtx_ros.learn.trainer import open_windows

    config, model = job.config, job.config.model
    write_set(folder, job.spec, max(200, 2 * config.batch_size), "jpeg")
    given = np.random.default_rng(0).normal(size=model.text_size).astype(np.float32)
    return open_windows(Dataset.open(folder), config, None if model.text_encoder == "hashed" else lambda _: given)


def _peak_mb() -> float:
    """Largest resident memory of this process so far [MB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
