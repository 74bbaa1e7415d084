"""Jobs in processes of their own: as many at a time as asked, begun again when killed, ended with this process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qtx_ros.processes import end, start

ATTEMPTS = 3  # of a job whose process was killed
PATIENCE = 20.0  # [s] to save a checkpoint when all is to end


@dataclass(frozen=True)
class Job:
    """A command, the name under which it is spoken of, and where its output goes."""

    name: str
    command: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Done:
    """How a job ended."""

    job: Job
    status: int

    @property
    def reason(self) -> str:
        """The last line that a failed job wrote."""
        lines = self.job.log.read_text(errors="replace").strip().splitlines() if self.job.log.exists() else []
        said = lines[-1].split("\r")[-1].strip() if lines else "no output"
        return said if self.status > 0 else f"killed {ATTEMPTS} times, last by signal {-self.status}"


def run_jobs(
    jobs: Sequence[Job], workers: int, on_done: Callable[[Done], None], watch: Callable[[list[Job]], None]
) -> list[Done]:
    """Run all jobs, `workers` at a time; returns those that failed. A killed one is begun again.

    `on_done` is called after each job, `watch` a few times a second with those that run.
    """
    waiting, failed = list(jobs), []
    running: dict[str, tuple[Job, subprocess.Popen]] = {}
    begun: dict[str, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                begun[job.name] = begun.get(job.name, 0) + 1
                running[job.name] = job, _start(job)
            time.sleep(0.2)
            watch([job for job, _ in running.values()])
            for job, process in list(running.values()):
                if process.poll() is None:
                    continue
                del running[job.name]
                if process.returncode < 0 and begun[job.name] < ATTEMPTS:
                    waiting.insert(0, job)
                    continue
                done = Done(job, process.returncode)
                failed += [done] if done.status else []
                on_done(done)
    finally:
        end([process for _, process in running.values()], PATIENCE)
    return failed


def _start(job: Job) -> subprocess.Popen:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with open(job.log, "ab") as log:
        return start(job.command, log, {**os.environ, **single})
