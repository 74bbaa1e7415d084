"""Our side of `qtx bench tick --against`: a bundle as the robot runs it, in a process of its own.

    python -m qtx_ros.bench.tick_server BUNDLE THREADS

It prints a line of JSON when it is ready; `tick COUNT` on standard input answers the wall and CPU times of that many
ticks [ms] and the peak memory so far [MB]. No torch here, as on the robot.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from qtx_ros.bench.q_transformer_peer import peak_mb
from qtx_ros.deploy.policy import Policy


def ticks(policy: Policy, count: int, rng: np.random.Generator) -> dict:
    """Times of `count` ticks of one episode on random frames."""
    times = []
    policy.reset()
    for _ in range(count):
        shapes = {camera.name: (camera.height, camera.width, 3) for camera in policy.spec.cameras}
        frames = {name: rng.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}
        state = rng.normal(size=len(policy.spec.state_names))
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        policy.act(frames, state)
        times.append((time.perf_counter_ns() - wall, time.process_time_ns() - cpu))
    wall, cpu = (np.array(times).T / 1e6).tolist()
    return {"wall_ms": wall, "cpu_ms": cpu, "peak_mb": peak_mb()}


def main(bundle: str, threads: str) -> None:
    policy, rng = Policy.load(bundle, "cpu", int(threads)), np.random.default_rng(0)
    policy.instruct("open the drawer")
    print(json.dumps({"bundle": policy.manifest.name}), flush=True)
    for line in sys.stdin:
        print(json.dumps(ticks(policy, int(line.split()[1]), rng)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
