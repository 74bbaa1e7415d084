"""`qtx bench train --against q-transformer`: gradient steps of that package's learner beside ours, a process each.

The same: MaxViT and token learner (its own weights in ours must give its own tokens), frames and their number,
actions and bins, batch, transitions of one step, instructions as embeddings, no dropout, threads. Different: it draws
transitions one by one and encodes six frames of s and twice six of s and s′ for each; ours draws neighbours together
and encodes each frame once. Its frames are float32, ours uint8. Its conditioner, its four residual streams and its
loss are its own.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from qtx_ros.bench.q_transformer_peer import VIT
from qtx_ros.bench.tick_against import THEIRS, Server, Size, open_peer, with_their_weights
from qtx_ros.bench.train import print_parts
from qtx_ros.bench.train_measure import Job, measure

SMALL = Size(image=112, maxvit={**Size().maxvit, "depth": (1, 1, 1)})
TEXT = 768  # numbers of an instruction's embedding
FLOORS = {"samples_per_cpu_s": 10.0, "peak_mb": 1 / 4}
OURS = {
    "ours, as they draw": {"chunk": 1},
    "ours, in chunks": {},
    "ours, in chunks, bfloat16": {"precision": "bfloat16"},
    "ours, and recomputing": {"precision": "bfloat16", "recompute": 6},
}


def run(python: str | None, full: bool, threads: int) -> int:
    """Compare, print the tables and the JSON line; QtxError if `python` has no q-transformer."""
    size, batch = (Size(), 4) if full else (SMALL, 16)
    rows, difference = compare(python, size, batch, threads, warm=1, steps=1)
    _report(rows, difference, size, batch, threads)
    return 0


def compare(
    python: str | None, size: Size, batch: int, threads: int, warm: int, steps: int
) -> tuple[dict[str, dict], float]:
    """Measurements by name, and how far tokens of the same weights differ; one process after another."""
    with tempfile.TemporaryDirectory() as folder, open_peer(python, threads, _sizes(size)) as peer:
        _, difference = with_their_weights(peer, Path(folder), size)
        rows = {THEIRS: {**_theirs(peer, batch, warm, steps), "parameters": peer.hello["parameters"]}}
    for name, changes in OURS.items():
        rows[name] = measure(Job(size.spec, _config(size, batch, threads, changes), steps, warm, parts=True))
    for row in rows.values():
        row["times"] = round(row["samples_per_cpu_s"] / rows[THEIRS]["samples_per_cpu_s"], 2)
        row["memory"] = round(row["peak_mb"] / rows[THEIRS]["peak_mb"], 3)
    return rows, difference


def _theirs(peer: Server, batch: int, warm: int, steps: int) -> dict:
    found = peer.ask("train", batch, warm, steps)
    speed = {"samples_per_s": batch * steps / found["wall_s"], "samples_per_cpu_s": batch * steps / found["cpu_s"]}
    return {**{key: round(value, 4) for key, value in speed.items()}, "peak_mb": round(found["peak_mb"], 1)}


def _sizes(size: Size) -> dict:
    """What the peer builds instead of the README's model."""
    maxvit = size.maxvit
    names = {"dim": "dim", "dim_conv_stem": "dim", "dim_head": "head_width", "depth": "depth", "window_size": "window"}
    vit = {theirs: maxvit[ours] for theirs, ours in names.items()}
    vit |= {"mbconv_expansion_rate": maxvit["expansion"], "dropout": 0.0}
    model = {"num_actions": size.dimensions, "action_bins": size.bins}
    return {"image": size.image, "frames": size.history, "vit": {**VIT, **vit}, "model": model}


def _config(size: Size, batch: int, threads: int, changes: dict):
    from qtx_ros import config
    from qtx_ros.learn.settings import TrainConfig

    given = {"batch_size": batch, "chunk": batch, "threads": threads, "steps": 1000, **changes}
    model = {**size.model, "text_encoder": "given", "text_size": TEXT}
    return config.build(TrainConfig, {**given, "model": model}, "peer size")


def _report(rows: dict[str, dict], difference: float, size: Size, batch: int, threads: int) -> None:
    print(f"gradient steps on {batch} transitions of {size.history} frames of {size.image}², {size.dimensions} × "
          f"{size.bins} bins, {threads} thread(s) each, one after the other")  # fmt: skip
    print(f"the same weights in both image encoders give tokens that differ by {difference:.0e}")
    print(f"{'':28s} {'M param.':>9s} {'samples/CPU s':>14s} {'× theirs':>9s} {'peak MB':>8s} {'of theirs':>10s}")
    for name, row in rows.items():
        print(f"{name:28s} {row['parameters'] / 1e6:9.1f} {row['samples_per_cpu_s']:14.3f} {row['times']:9.1f} "
              f"{row['peak_mb']:8.0f} {row['memory']:10.2f}")  # fmt: skip
    print(f"floors of the last one: {FLOORS['samples_per_cpu_s']:g} × the samples, {FLOORS['peak_mb']:g} of the memory")
    print_parts([(name, row["parts"]) for name, row in rows.items() if "parts" in row])
    facts = {"against": THEIRS, "threads": threads, "batch": batch, "size": asdict(size), "floors": FLOORS}
    print(json.dumps({"benchmark": "train", **facts, "rows": rows, "token_difference": difference}))
