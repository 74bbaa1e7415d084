"""`qtx bench train`: training samples a second and peak memory, and where the time goes.

`--table` goes over batch and model sizes; `--against q-transformer` compares with the learner of that package.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from qtx_ros.bench.train_measure import Job, measure
from qtx_ros.spec import Spec

MODELS = {  # of the table, changes of the configuration's `model`
    "as configured": {},
    "twice as wide": {"channels": (32, 64, 128), "width": 256},
    "four times": {"channels": (64, 128, 256), "width": 512, "heads": 8},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robot", default="sawyer_sim", help="robot YAML or name (default: %(default)s)")
    parser.add_argument("--config", default="sawyer_sim", help="training YAML or name (default: %(default)s)")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64, 256], help="batch sizes (default: 16 64 256)")
    parser.add_argument("--chunk", type=int, nargs="+", help="drawn together (default: the configuration's)")
    parser.add_argument("--steps", type=int, default=10, help="gradient steps that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: %(default)s)")
    parser.add_argument("--precision", help="float32 or bfloat16 (default: the configuration's)")
    parser.add_argument("--compile", action="store_true", help="the frame encoder by torch.compile")
    parser.add_argument("--table", action="store_true", help="over model sizes, too")
    parser.add_argument("--against", choices=["q-transformer"], help="beside the learner of a package")
    parser.add_argument("--peer-python", metavar="PATH", help="Python that has that package (default: this one)")
    parser.add_argument("--full", action="store_true", help="its README model: 18 GiB, minutes a step")


def main(args: argparse.Namespace) -> int:
    if args.against:
        from qtx_ros.bench import train_against

        return train_against.run(args.peer_python, args.full, args.threads)
    print(f"training {args.robot} with {args.config}, {args.threads} thread(s), {args.device}, {args.steps} steps each")
    print(
        f"{'model':>14s} {'batch':>6s} {'chunk':>6s} {'frames':>7s} {'samples/s':>10s} {'samples/CPU s':>14s} "
        f"{'CPU ms/step':>12s} {'peak MB':>8s} {'of it steps MB':>15s}"
    )
    rows = []
    for name, job in _jobs(args):
        row = {"model": name, **measure(job)}
        rows.append(row)
        print(f"{name:>14s} {row['batch']:6d} {row['chunk']:6d} {row['frames']:7d} {row['samples_per_s']:10.0f} "
              f"{row['samples_per_cpu_s']:14.0f} {row['cpu_ms']:12.1f} {row['peak_mb']:8.0f} {row['steps_mb']:15.0f}",
              flush=True)  # fmt: skip
    print_parts([(f"{row['model']}, {row['batch']} in {row['chunk']}", row["parts"]) for row in rows])
    print(json.dumps({"benchmark": "train", "threads": args.threads, "device": args.device, "batches": rows}))
    return 0


def _jobs(args: argparse.Namespace) -> list[tuple[str, Job]]:
    from qtx_ros.learn.train import read_config

    spec, config = Spec.load(args.robot), read_config(args.config)
    given = {"threads": args.threads, "device": args.device, "compile": args.compile}
    config = replace(config, **given, precision=args.precision or config.precision)
    models = MODELS if args.table else dict(list(MODELS.items())[:1])
    jobs = []
    for name, changes in models.items():
        for chunk in args.chunk or [config.chunk]:
            for size in args.batch:
                changed = replace(config, batch_size=size, chunk=chunk, model=replace(config.model, **changes))
                jobs.append((name, Job(spec, changed, args.steps, parts=args.device == "cpu")))
    return jobs


def print_parts(rows: list[tuple[str, dict[str, float]]]) -> None:
    """A table of CPU ms: where the time of a step goes."""
    names = list(rows[0][1])
    print(f"\n{'CPU ms':>32s}" + "".join(f"{name:>15s}" for name in names))
    for name, parts in rows:
        print(f"{name:>32s}" + "".join(f"{parts[part]:15.1f}" for part in names), flush=True)
