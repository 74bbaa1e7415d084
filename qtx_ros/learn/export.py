"""`qtx export RUN -o BUNDLE`: a trained policy as ONNX graphs, a manifest and a model card."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from qtx_ros import config as configs
from qtx_ros.deploy.bundle import ACT, FRAME, INSTRUCTION, MODEL_CARD, TICK, WEIGHTS, Manifest, write_bundle_manifest
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint
from qtx_ros.learn.card import model_card, precision_line
from qtx_ros.learn.precision import Wanted, lower_bundle

FP32 = Wanted("fp32")
UNSEEN = "do something that nobody asked for"  # an instruction outside the data, for the comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="folder of a training run")
    parser.add_argument("-o", "--output", required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--name", help="of the bundle (default: the folder's name)")
    parser.add_argument("--guidance", type=float, help="instead of the configuration's model.guidance")
    parser.add_argument("--beam", type=int, help="instead of the configuration's model.beam; 8: keep 8 prefixes")
    parser.add_argument("--split", action=argparse.BooleanOptionalAction, default=None,
                        help="add graphs that encode a picture when it arrives (default: if robot has tick: timer)")
    parser.add_argument("--torch", action="store_true", help="add the weights, for devices torch-cuda and torch-cpu")
    parser.add_argument("--precision", default="fp32", help="fp32, fp16, bf16, int8 (fp32); kept only if it is faster")
    parser.add_argument("--data", nargs="+", default=(), metavar="SET", help="the run's training sets, for --precision")
    parser.add_argument("--min-agreement", type=float, default=0.99, help="share of bins that fp32 must confirm (0.99)")
    parser.add_argument("--device", default="cpu", help="where --precision is timed, as of the policy node (cpu)")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="JSON of `qtx evaluate --json`, kept inside")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="commands that led here, for the model card")


def main(args: argparse.Namespace) -> int:
    metrics = configs.read(args.metrics) if args.metrics else {}
    recipe = _read(args.recipe) if args.recipe else ""
    wanted = Wanted(args.precision, tuple(args.data), args.device, args.min_agreement)
    manifest = export(
        args.run, args.output, args.name, metrics, recipe, args.guidance, args.split, wanted, args.torch, args.beam
    )
    size = sum(entry["bytes"] for entry in manifest.files.values())
    parity = manifest.training["parity"]
    print(f"{parity['observations']} random observations give identical bins in torch and ONNX Runtime "
          f"({parity['ties']} ties drawn anew)")  # fmt: skip
    if "precision" in manifest.training:
        print(precision_line(manifest.training["precision"]))
    print(f"{manifest.name}: {size / 1e6:.1f} MB → {args.output}")
    return 0


def export(
    run_folder: str | Path,
    output: str | Path,
    name: str | None = None,
    metrics: dict | None = None,
    recipe: str = "",
    guidance: float | None = None,
    split: bool | None = None,
    wanted: Wanted = FP32,
    weights: bool = False,
    beam: int | None = None,
) -> Manifest:
    """Write the bundle of a run; QtxError, and no bundle, unless torch and ONNX Runtime choose identical bins.

    `split` adds the graphs that encode a picture when it arrives; None: where the robot ticks by timer.
    `wanted`: another precision, refused if it is slower than float32 or agrees too little with it. `weights`: for
    machines that run the tick in PyTorch.
    """
    run, output = _changed(checkpoint.open_run(run_folder), guidance=guidance, beam=beam), Path(output)
    if output.exists() and any(output.iterdir()) and not (output / "manifest.json").exists():
        raise QtxError(f"{output} holds something else than a bundle: choose another folder")
    model, progress = load_model(run)
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_graphs(model, run.spec, partial, _split(run.spec, split))
        if run.config.model.text_encoder != "hashed":
            _write_sentences(run, partial)
        if weights:
            write_weights(model, partial)
        manifest = _manifest(run, model, progress, partial, name or output.name, metrics or {})
        if wanted.precision != "fp32":
            manifest = lower_bundle(partial, manifest, _data_of(run, wanted), wanted)
        manifest = write_bundle_manifest(partial, manifest)
        (partial / MODEL_CARD).write_text(model_card(manifest, recipe), encoding="utf-8")
        shutil.rmtree(output, ignore_errors=True)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write_sentences(run: checkpoint.Run, folder: Path) -> None:
    """The frozen sentence encoder that the run was trained with; QtxError if it is another one now."""
    from qtx_ros.learn.sentences import check_encoder, write_encoder

    check_encoder(run.config.model.text_encoder, run.data.get("text_encoder"), run.folder)
    write_encoder(run.config.model.text_encoder, folder)


def _split(spec, wanted: bool | None) -> bool:
    """Whether pictures get graphs of their own."""
    if wanted and not spec.cameras:
        raise QtxError(f"robot {spec.name!r} has no cameras: there are no pictures to split off")
    return bool(spec.cameras) and (spec.tick == "timer" if wanted is None else wanted)


def _data_of(run: checkpoint.Run, wanted: Wanted):
    """The training set of a run; QtxError if it is another one."""
    from qtx_ros.learn import train

    dataset = train.open_dataset(list(wanted.data), run.config)
    digest = train.describe(dataset, list(wanted.data))["digest"]
    if digest != run.data["digest"]:
        was = run.data["digest"]
        raise QtxError(f"{run.folder} was trained on data with digest {was[:12]}, --data has {digest[:12]}")
    return dataset


def _changed(run: checkpoint.Run, **changes: float | None) -> checkpoint.Run:
    """The run with another guidance scale or beam, which nothing in training depends on; None changes nothing."""
    model = replace(run.config.model, **{key: value for key, value in changes.items() if value is not None})
    return replace(run, config=replace(run.config, model=model))


def load_model(run: checkpoint.Run):
    """The trained policy on the CPU in eval mode, guided if its configuration says so, and its training's progress."""
    from qtx_ros.learn.trainer import build_model
    from qtx_ros.model.guidance import inference

    groups, progress = checkpoint.load_checkpoint(run.folder)
    weights, config = groups["model"], run.config
    if config.search:  # the first critic alone decides
        config = replace(config, search=0, model=replace(config.model, critics=1))
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(("twin.", "others."))}
    model = build_model(run.spec, config, run.seed)
    model.load_state_dict(weights)
    return inference(model).eval(), progress


def write_graphs(model, spec, folder: Path, split: bool = False) -> None:
    """Write `tick.onnx` and `instruction.onnx`; with `split` also `frame.onnx` and `act.onnx`."""
    from qtx_ros.learn import graphs

    if split:
        graphs.write_onnx(graphs.FrameGraph(model), graphs.frame_example(model, spec), folder / FRAME)
        graphs.write_onnx(graphs.ActGraph(model, spec), graphs.act_example(model, spec), folder / ACT)
    graphs.write_onnx(graphs.TickGraph(model, spec), graphs.tick_example(model, spec), folder / TICK)
    graphs.write_onnx(graphs.InstructionGraph(model), graphs.instruction_example(model), folder / INSTRUCTION)


def write_weights(model, folder: Path) -> None:
    """Write `weights.safetensors`."""
    import safetensors.torch

    network = model if model.conditions == 1 else model.model
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(tensors))


def export_steps(run_folder: str | Path, folder: str | Path) -> tuple[Path, list[Path]]:
    """The tick cut into one graph before the decoder and one per action dimension, for `qtx bench tick`.

    `context.onnx` takes the inputs of `tick.onnx` and returns `ring_out`, `start`, and `context_key_i`,
    `context_value_i` of each decoder block. `step_d.onnx` takes the last three, and from the second dimension on
    `previous` (the bin before, int64 [1]) and `past_key_i`, `past_value_i`; it returns `bin`, `q` and `kept_key_i`,
    `kept_value_i`, the next step's past.
    """
    from qtx_ros.learn import graphs

    run, folder = checkpoint.open_run(run_folder), Path(folder)
    model, _ = load_model(run)
    config = model.config
    kinds = config.critics, config.guidance, config.code, config.order, config.beam, config.actor, config.memory
    if kinds != (1, 1, "plain", "fixed", 1, False, 0):
        raise QtxError(f"{run.folder} does more than one greedy step a dimension: its tick is one graph only")
    folder.mkdir(parents=True, exist_ok=True)
    context = folder / "context.onnx"
    graphs.write_onnx(graphs.ContextGraph(model), graphs.tick_example(model, run.spec), context)
    steps = [folder / f"step_{i}.onnx" for i in range(len(model.bins))]
    for i, example in enumerate(graphs.step_examples(model)):
        graphs.write_onnx(graphs.StepGraph(model, i), example, steps[i])
    return context, steps


def _manifest(run: checkpoint.Run, model, progress: dict, folder: Path, name: str, metrics: dict) -> Manifest:
    from qtx_ros.learn.graphs import picture_tokens
    from qtx_ros.learn.parity import compare

    parity = compare(model, run.spec, folder, [*run.data["mix"], UNSEEN])
    parity.check()
    split = (folder / FRAME).exists()
    if split:
        compare(model, run.spec, folder, [*run.data["mix"], UNSEEN], split=True).check()
    training = {
        **run.data,
        "seed": run.seed,
        **progress,
        "config": configs.dump(run.config),
        "parity": asdict(parity),
    }
    return Manifest(
        name=name,
        spec=run.spec,
        ring=model.ring_shape,
        features=model.feature_size,
        model=configs.dump(model.config),
        picture=picture_tokens(model, run.spec) if split else 0,
        versions=_versions(),
        metrics=metrics,
        training=json.loads(json.dumps(training)),
    )


def _versions() -> dict[str, str]:
    import onnx
    import onnxruntime
    import onnxscript

    from qtx_ros.learn.train import versions

    found = {module.__name__: module.__version__ for module in (onnx, onnxruntime, onnxscript)}
    return {**versions(), **found}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QtxError(f"cannot read {path}: {error}") from None
