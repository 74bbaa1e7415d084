"""`qtx bench tick`: one policy tick in torch, in ONNX step by step, and in one ONNX graph, on the same weights.

`--against q-transformer` compares with that package instead, `--table` over sizes of the policy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qtx_ros.preprocess import text_tokens
from qtx_ros.spec import Spec

if TYPE_CHECKING:
    from qtx_ros.bench.limits import Limits

INSTRUCTION = "open the drawer"
EPISODE = 20  # ticks between two resets
WARM_UP = 10  # ticks that do not count


class Way(Protocol):
    """One way to compute a tick."""

    def start(self, tokens: np.ndarray) -> None:
        """Begin an episode with an instruction, int64 [1, L]."""

    def tick(self, frames: np.ndarray, state: np.ndarray, first: bool) -> np.ndarray:
        """Bins int64 [D] of frames uint8 [C, H, W, 3] and state float32 [S]."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", help="folder of a training run (default: fresh weights, which take the same time)")
    parser.add_argument("--robot", default="sawyer_sim", help="robot of the fresh weights (sawyer_sim)")
    parser.add_argument("--config", help="training YAML with the network of the fresh weights")
    parser.add_argument("--ticks", type=int, default=300, help="ticks that count (300)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch and of ONNX Runtime (1)")
    parser.add_argument("--device", default="cpu", help="of the one graph, as the policy node's: cuda, … (cpu)")
    parser.add_argument("--against", choices=["q-transformer"], help="our models beside the README model of a package")
    parser.add_argument("--peer-python", metavar="PATH", help="Python that has that package (default: this one)")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count, with --against (5)")
    parser.add_argument("--table", action="store_true", help="the one graph over history, dimensions, bins, image size")


def main(args: argparse.Namespace) -> int:
    if args.against:
        from qtx_ros.bench import tick_against

        return tick_against.run(args.peer_python, args.rounds, args.threads)
    if args.table:
        from qtx_ros.bench import tick_table

        return tick_table.run(args.config, args.ticks, args.threads)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        run = args.run or _fresh_run(Path(folder) / "run", args.robot, args.config)
        spec, ways = _ways(run, Path(folder), args, stack)
        bins, times = measure(spec, ways, args.ticks)
        found = _limits(Path(folder) / "bundle", ways["one graph"].device, args.threads)
    _report(spec, ways, bins, times, found, args)
    return 0


def measure(spec: Spec, ways: dict[str, Way], ticks: int) -> tuple[dict, dict]:
    """Bins [ticks, D] and wall and CPU times [ticks, 2] in ms, of every way; they take turns at each tick."""
    rng = np.random.default_rng(0)
    camera, tokens = spec.cameras[0], text_tokens(INSTRUCTION)[None]
    bins, times = {name: [] for name in ways}, {name: [] for name in ways}
    for i in range(WARM_UP + ticks):
        frames = rng.integers(0, 256, (len(spec.cameras), camera.height, camera.width, 3), dtype=np.uint8)
        state = rng.normal(size=len(spec.state_names)).astype(np.float32)
        for name, way in ways.items():
            if i % EPISODE == 0:
                way.start(tokens)
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            chosen = way.tick(frames, state, i % EPISODE == 0)
            wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
            bins[name].append(chosen)
            times[name].append((wall / 1e6, cpu / 1e6))
    return {n: np.array(b[WARM_UP:]) for n, b in bins.items()}, {n: np.array(t[WARM_UP:]) for n, t in times.items()}


def _limits(bundle: Path, device: str, threads: int) -> Limits | None:
    """What the device allows; None where ONNX Runtime does not run the graph."""
    from qtx_ros.bench.limits import limits
    from qtx_ros.deploy.bundle import load_bundle

    return None if device.startswith("torch") else limits(load_bundle(bundle), device, threads)


def _report(
    spec: Spec, ways: dict[str, Way], bins: dict, times: dict, found: Limits | None, args: argparse.Namespace
) -> None:
    reference = bins["torch eager"]
    print(f"one tick of {spec.name}: {len(spec.cameras)} camera(s), {len(spec.dimensions)} dimensions, "
          f"history {spec.history}, {args.threads} thread(s), {args.ticks} ticks")  # fmt: skip
    print(f"{'':24s} {'p50 ms':>8s} {'p99 ms':>8s} {'CPU p50 ms':>11s} {'other bins':>11s}")
    summary = {}
    for name in ways:
        (p50, cpu), p99 = np.percentile(times[name], 50, axis=0), np.percentile(times[name][:, 0], 99)
        other = int((bins[name] != reference).any(1).sum())
        print(f"{name:24s} {p50:8.2f} {p99:8.2f} {cpu:11.2f} {other:7d}/{args.ticks}")
        summary[name] = {"p50": round(p50, 3), "p99": round(p99, 3), "cpu_p50": round(cpu, 3), "other_bins": other}
    line = {"benchmark": "tick", "threads": args.threads, "ticks": args.ticks, "ms": summary}
    print(ways["one graph"].line)
    if found:
        p50 = summary["one graph"]["p50"]
        print(*found.lines(p50), sep="\n")
        line |= {"limits": found.to_dict(), "fraction": round(found.fraction(p50), 3)}
    print(json.dumps(line))


def _fresh_run(folder: Path, robot: str, config: str | None) -> Path:
    """A run with the initial weights."""
    from qtx_ros import config as configs
    from qtx_ros.learn import checkpoint
    from qtx_ros.learn.settings import TrainConfig
    from qtx_ros.learn.trainer import build_model
    from qtx_ros.paths import share

    settings = configs.load(TrainConfig, config or share("config/train/sawyer_sim.yaml"))
    spec = Spec.load(robot)
    folder.mkdir()
    checkpoint.create_run(folder, spec, settings, {"mix": {INSTRUCTION: 0}}, seed=0)
    checkpoint.save_checkpoint(folder, {"model": build_model(spec, settings, 0).state_dict()}, {})
    return folder


def _ways(run_folder, folder: Path, args: argparse.Namespace, stack) -> tuple[Spec, dict[str, Way]]:
    import torch

    from qtx_ros import config as configs
    from qtx_ros.deploy.bundle import Manifest, write_bundle_manifest
    from qtx_ros.learn import checkpoint, export

    torch.set_num_threads(args.threads)
    stack.enter_context(torch.inference_mode())
    run = checkpoint.open_run(run_folder)
    model, _ = export.load_model(run)
    with torch.inference_mode(False):
        context, steps = export.export_steps(run_folder, folder / "steps")
        bundle = folder / "bundle"
        bundle.mkdir()
        export.write_graphs(model, run.spec, bundle)
        if args.device.startswith("torch"):
            export.write_weights(model, bundle)
    sizes = configs.dump(run.config.model)
    write_bundle_manifest(bundle, Manifest("bench", run.spec, model.ring_shape, model.feature_size, sizes))
    return run.spec, {
        "torch eager": _Torch(model, run.spec),
        "ONNX step by step": _Steps(model, context, steps, args.threads),
        "one graph": _Graph(bundle, args.device, args.threads),
    }


class _Torch:
    """The network itself; the ring makes it encode the newest frame only, as the graphs do."""

    def __init__(self, model, spec: Spec) -> None:
        from qtx_ros.learn.graphs import TickGraph

        self._model, self._graph = model, TickGraph(model, spec).eval()

    def start(self, tokens: np.ndarray) -> None:
        import torch

        self._features = self._model.instruct(torch.from_numpy(tokens))
        self._ring = torch.zeros(self._model.ring_shape)

    def tick(self, frames: np.ndarray, state: np.ndarray, first: bool) -> np.ndarray:
        import torch

        inputs = torch.from_numpy(frames), torch.from_numpy(state), self._ring, torch.tensor([first]), self._features
        bins, _, _, _, self._ring = self._graph(*inputs)
        return bins.numpy()


class _Steps:
    """One graph up to the decoder and one per action dimension; keys and values go through Python."""

    def __init__(self, model, context: Path, steps: list[Path], threads: int) -> None:
        self._model, self._context = model, _session(context, threads)
        self._steps = [_session(step, threads) for step in steps]

    def start(self, tokens: np.ndarray) -> None:
        import torch

        self._features = self._model.instruct(torch.from_numpy(tokens)).numpy()
        self._ring = np.zeros(self._model.ring_shape, np.float32)

    def tick(self, frames: np.ndarray, state: np.ndarray, first: bool) -> np.ndarray:
        given = {"frames": frames, "state": state, "ring": self._ring, "first": np.array([first])}
        context = _run(self._context, {**given, "features": self._features})
        self._ring = context.pop("ring_out")
        bins, past = [], {}
        for step in self._steps:
            out = _run(step, {**context, **past})
            past = {name.replace("kept", "past"): value for name, value in out.items() if name.startswith("kept")}
            past["previous"] = out["bin"]
            bins.append(out["bin"][0])
        return np.array(bins)


class _Graph:
    """The policy as the robot runs it."""

    def __init__(self, bundle: Path, device: str, threads: int) -> None:
        from qtx_ros.deploy.policy import Policy

        self._policy = Policy.load(bundle, device, threads)
        self.device, self.line = self._policy.device, self._policy.device_line

    def start(self, tokens: np.ndarray) -> None:
        self._policy.reset()
        self._policy.instruct(INSTRUCTION)

    def tick(self, frames: np.ndarray, state: np.ndarray, first: bool) -> np.ndarray:
        named = {camera.name: frame for camera, frame in zip(self._policy.spec.cameras, frames, strict=True)}
        return self._policy.act(named, state).bins


def _session(path: Path, threads: int):
    import onnxruntime

    from qtx_ros.deploy.session import session_options

    return onnxruntime.InferenceSession(str(path), session_options(threads), providers=["CPUExecutionProvider"])


def _run(session, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = [port.name for port in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, inputs), strict=True))
