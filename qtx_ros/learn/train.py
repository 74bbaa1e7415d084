"""`qtx train DATASET -o RUN`: train a policy offline."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import platform
import shlex
from pathlib import Path

import numpy as np

from qtx_ros import __version__
from qtx_ros import config as configs
from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint
from qtx_ros.learn.settings import METHOD_NAMES, TrainConfig
from qtx_ros.paths import share

FAINT = 0.1  # worth at the start of what is worth 1 at the end of an episode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="+", help="training set folders, as `qtx convert` writes them")
    parser.add_argument("-o", "--output", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--config", help="YAML, or a name in config/train (default sawyer_sim; sawyer_METHOD)")
    parser.add_argument("--steps", type=int, help="gradient steps, instead of the configuration's")
    parser.add_argument("--method", help="learning method: q, bc, iql, cql or dt; instead of that of --config")
    parser.add_argument("--device", help="cpu, cuda or auto, instead of the configuration's")
    parser.add_argument("--seed", type=int, help="of weights, order and augmentation (default 0)")
    parser.add_argument("--resume", action="store_true", help="continue the run if it was begun")
    parser.add_argument("--verify", action="store_true", help="first compare every file of the data with its hash")


def main(args: argparse.Namespace) -> int:
    from qtx_ros.learn.parallel import joined

    begun = args.resume and (Path(args.output) / checkpoint.DATA).exists()
    run = checkpoint.open_run(args.output) if begun else None
    config = _same_config(run, args) if run else _config(args, default_config(args.method))
    with joined(config.device) as world:
        return _run(args, run, config, world)


def _run(args: argparse.Namespace, run: checkpoint.Run | None, config: TrainConfig, world) -> int:
    """Begin or continue a run; of several processes the first one writes."""
    from qtx_ros.learn.sentences import check_encoder, fingerprint
    from qtx_ros.learn.trainer import Trainer, open_windows

    folder, begun = Path(args.output), run is not None
    dataset = open_dataset(args.dataset, config, args.verify)
    described = describe(dataset, args.dataset)
    if run is None:
        data = {**described, "command": _command(args)}
        if config.model.text_encoder != "hashed":
            data["text_encoder"] = fingerprint(config.model.text_encoder)
        world.wait()  # all have seen that there is no run yet
        create = checkpoint.create_run if world.leads else checkpoint.Run
        run = create(folder, dataset.spec, config, data, args.seed or 0)
    _check_same_data(run, described, dataset)
    check_encoder(config.model.text_encoder, run.data.get("text_encoder"), folder)
    trainer = Trainer(run.spec, config, run.seed, world)
    windows = open_windows(dataset, config)
    if begun and (folder / checkpoint.CHECKPOINT).exists():
        trainer.load(folder)
    else:
        trainer.set_statistics(windows)
    if world.leads:
        size = _parameters(trainer.model)
        print(f"{len(dataset)} episodes, {len(windows)} transitions, {size:,} parameters", flush=True)
        print(discount_note([len(episode) for episode in dataset.episodes], config), end="", flush=True)
        _train(trainer, windows, folder)
    else:
        trainer.train(windows, folder, lambda *_: None)
    world.wait()  # the last checkpoint is written
    return 0


def read_config(
    path: str, steps: int | None = None, method: str | None = None, device: str | None = None
) -> TrainConfig:
    """A configuration file (or the name of a shipped one) with what the command line sets instead."""
    if "/" not in path and not path.endswith((".yaml", ".yml", ".json")):
        path = str(share(f"config/train/{path}.yaml"))
    given = {"steps": steps, "method": method, "device": device}
    chosen = {name: value for name, value in given.items() if value is not None}
    from qtx_ros.learn.sentences import with_text_size

    return with_text_size(dataclasses.replace(configs.load(TrainConfig, path), **chosen))


def open_dataset(paths: list[str], config: TrainConfig, verify: bool = False) -> Dataset:
    """The labelled episodes that a configuration trains on; QtxError if there are none."""
    labels = ("success", "failure") if config.episodes == "all" else ("success",)
    dataset = Dataset.open(paths, verify=verify, labels=labels)
    if config.episodes != "demonstrations":
        return dataset
    shown = [episode for episode in dataset.episodes if episode.manifest.get("collector") != "policy"]
    if not shown:
        raise QtxError(f"{', '.join(paths)}: a policy collected all {len(dataset)} successes, none is a demonstration")
    return Dataset(dataset.spec, shown)


def describe(dataset: Dataset, paths: list[str]) -> dict:
    """What a run remembers of its data: names, counts per instruction and label, and a digest over all files."""
    digest = hashlib.sha256()
    mix: dict[str, dict[str, int]] = {}
    for episode in dataset.episodes:
        digest.update(repr(sorted((k, str(v)) for k, v in episode.manifest["files"].items())).encode())
        counts = mix.setdefault(episode.manifest["instruction"], {})
        counts[episode.manifest["label"]] = counts.get(episode.manifest["label"], 0) + 1
    steps = int(np.sum([len(episode) for episode in dataset.episodes]))
    names = [Path(path).resolve().name for path in paths]
    return {"data": names, "digest": digest.hexdigest(), "episodes": len(dataset), "steps": steps, "mix": mix}


def discount_note(lengths: list[int], config: TrainConfig) -> str:
    """A line if what the end of an episode is worth hardly reaches its start, else nothing; `lengths`: ticks each."""
    ticks = int(np.median(lengths))
    worth = config.gamma**ticks
    if worth >= FAINT or config.method in ("bc", "dt"):
        return ""
    return (
        f"note: the median episode has {ticks} ticks, so with gamma {config.gamma} its end is worth {worth:.2g} at its "
        f"start; {1 - 1 / ticks:.3g} would leave a third\n"
    )


def versions() -> dict[str, str]:
    """Versions of what a training run depends on."""
    import torch

    found = {"qtx_ros": __version__, "python": platform.python_version()}
    return {**found, "torch": torch.__version__, "numpy": np.__version__}


def default_config(method: str | None) -> str:
    """Name of the shipped configuration of a method, Q-learning's if none is asked for."""
    return f"sawyer_{method}" if method in METHOD_NAMES[1:] else "sawyer_sim"


def _config(args: argparse.Namespace, default: str) -> TrainConfig:
    return read_config(args.config or default, args.steps, args.method, args.device)


def _same_config(run: checkpoint.Run, args: argparse.Namespace) -> TrainConfig:
    """The run's configuration; QtxError if the command line asks for another."""
    asked = configs.dump(_config(args, str(run.folder / checkpoint.CONFIG)))
    was = configs.dump(run.config)
    changed = [f"{key} {was[key]} (now {asked[key]})" for key in was if was[key] != asked[key]]
    if args.seed not in (None, run.seed):
        changed.append(f"seed {run.seed} (now {args.seed})")
    if changed:
        raise QtxError(f"{run.folder} was begun with {', '.join(changed)}: resume it with its own configuration")
    return run.config


def _check_same_data(run: checkpoint.Run, described: dict, dataset: Dataset) -> None:
    if run.data["digest"] != described["digest"] or run.spec != dataset.spec:
        was, now = (f"{d['episodes']} episodes with digest {d['digest'][:12]}" for d in (run.data, described))
        raise QtxError(f"{run.folder} was trained on other data: {was}, now {now}")


def _command(args: argparse.Namespace) -> str:
    options = {"--config": args.config or default_config(args.method), "--steps": args.steps, "--method": args.method}
    options["--seed"] = args.seed or 0
    given = [str(part) for option, value in options.items() if value is not None for part in (option, value)]
    return shlex.join(["qtx", "train", *args.dataset, "-o", args.output, *given])


def _parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


def _train(trainer, windows, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / "tensorboard", purge_step=trainer.step + 1) as board:

        def log(step: int, scalars: dict[str, float]) -> None:
            for name, value in scalars.items():
                board.add_scalar(name, value, step)

        trainer.train(windows, folder, log)
    print(f"{trainer.step} steps in {trainer.seconds:.0f} s → {folder / checkpoint.CHECKPOINT}")
