"""A run's folder: `checkpoint.safetensors` (weights, target, optimiser), and spec, config and data beside it as JSON.

One file is replaced in one move, so a run that was killed at any moment holds its last whole checkpoint. No pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from qtx_ros import config as configs
from qtx_ros.errors import QtxError
from qtx_ros.files import write_atomically
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.spec import Spec

CHECKPOINT, SPEC, CONFIG, DATA = "checkpoint.safetensors", "spec.json", "config.json", "data.json"


@dataclass(frozen=True)
class Run:
    """What a run's folder says about itself."""

    folder: Path
    spec: Spec
    config: TrainConfig
    data: dict  # where the training set came from, its digest, counts
    seed: int


def create_run(folder: str | Path, spec: Spec, config: TrainConfig, data: dict, seed: int) -> Run:
    """Start a run's folder; QtxError if it already holds a checkpoint."""
    folder = Path(folder)
    if (folder / CHECKPOINT).exists():
        raise QtxError(f"{folder} already holds a run: continue it with --resume, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((SPEC, spec.to_dict()), (CONFIG, configs.dump(config)), (DATA, {**data, "seed": seed})):
        write_atomically(folder / name, (json.dumps(content, indent=1) + "\n").encode())
    return Run(folder, spec, config, data, seed)


def open_run(folder: str | Path) -> Run:
    """Read a run's folder; QtxError says what is missing."""
    folder = Path(folder)
    if not (folder / DATA).is_file():
        raise QtxError(f"{folder} is not a training run: it has no {DATA} (`qtx train` makes one)")
    data = configs.read(folder / DATA)
    seed = data.pop("seed", 0)
    return Run(folder, configs.load(Spec, folder / SPEC), configs.load(TrainConfig, folder / CONFIG), data, seed)


def save_checkpoint(folder: Path, groups: dict[str, dict[str, Tensor]], progress: dict) -> None:
    """Replace the checkpoint by the tensors of `groups` (group → name → tensor) and the JSON-able `progress`."""
    tensors = {f"{group}/{name}": x.contiguous() for group, named in groups.items() for name, x in named.items()}
    write_atomically(folder / CHECKPOINT, safetensors.torch.save(tensors, {"progress": json.dumps(progress)}))


def load_checkpoint(folder: Path, device: str = "cpu") -> tuple[dict[str, dict[str, Tensor]], dict]:
    """Groups of tensors and progress, as saved."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise QtxError(f"{folder} has no {CHECKPOINT}: train it first")
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, "pt", device=device) as file:
            progress = json.loads(file.metadata()["progress"])
            for key in file.keys():
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise QtxError(f"{path} is not a checkpoint of qtx train: {error}") from None
    return groups, progress
