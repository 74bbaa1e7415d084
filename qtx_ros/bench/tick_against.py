"""`qtx bench tick --against q-transformer`: the README model of that package beside ours, in turn, a process each."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qtx_ros.bench.q_transformer_peer import FRAMES, MODEL, SIZE, VIT
from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

PEER = Path(__file__).with_name("q_transformer_peer.py")
VERSION = "0.5.0"
THEIRS, SAME, SHIPPED = f"q-transformer {VERSION}", "ours, the same MaxViT", "ours, as shipped"
TICKS = {THEIRS: 1, SAME: 5, SHIPPED: 200}  # of one turn
FLOORS = {SAME: 8.0, SHIPPED: 100.0}  # times faster
CLOSE = 1e-3  # of the largest token: two implementations add in another order


@dataclass(frozen=True)
class Size:
    """The model to compare: that of the peer's README."""

    image: int = SIZE  # [px]
    history: int = FRAMES
    dimensions: int = MODEL["num_actions"]
    bins: int = MODEL["action_bins"]
    maxvit: dict = field(default_factory=lambda: {
        "dim": VIT["dim"], "depth": VIT["depth"], "heads": 8, "head_width": VIT["dim_head"],
        "window": VIT["window_size"], "expansion": VIT["mbconv_expansion_rate"], "tokens": 8,
    })  # fmt: skip

    @property
    def model(self) -> dict:
        """Keys of `ModelConfig`: context, decoder and MLPs as wide and deep as the peer's."""
        width = self.maxvit["dim"] * 2 ** (len(self.maxvit["depth"]) - 1)
        sizes = {"width": width, "heads": MODEL["heads"], "mlp_factor": 4, "decoder_layers": 2, "dueling": True}
        return {"encoder": "maxvit", "maxvit": self.maxvit, "temporal_layers": MODEL["depth"], **sizes}

    @property
    def spec(self) -> Spec:
        """A robot with the peer's frames and actions."""
        dimensions = tuple(ActionDimension(f"d{i}", -1, 1, self.bins) for i in range(self.dimensions))
        return Spec(
            name="peer_size",
            rate=10.0,
            history=self.history,
            cameras=(Camera("camera", "camera/image", self.image, self.image),),
            states=(StateStream("joint_states", tuple(f"joint{i}" for i in range(7))),),
            commands=(CommandStream("command", dimensions),),
        )


class Server:
    """A process that answers each line on its standard input with one line of JSON."""

    def __init__(self, command: list[str]) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._name = command[0]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
        except OSError as error:
            raise QtxError(f"cannot run {self._name}: {error.strerror}, {remedy('PYTHON')}") from None
        self.hello = self._answer()

    def ask(self, *words: object) -> dict:
        """What the process answers; QtxError with its last words if it ended instead."""
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        last = " ".join(self._errors.read().split())[-300:]
        raise QtxError(f"{self._name} failed: {last or self._process.returncode}")

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def run(python: str | None, rounds: int, threads: int) -> int:
    """Compare, print the table and the JSON line; QtxError if `python` has no q-transformer."""
    with tempfile.TemporaryDirectory() as folder, open_peer(python, threads) as peer:
        bundle, difference = same_maxvit(peer, Path(folder))
        command = [sys.executable, "-m", "qtx_ros.bench.tick_server"]
        with (
            Server([*command, str(bundle), str(threads)]) as same,
            Server([*command, str(share("models/sawyer_sim")), str(threads)]) as shipped,
        ):
            rows = take_turns({THEIRS: peer, SAME: same, SHIPPED: shipped}, rounds)
    _report(rows, difference, peer.hello["parameters"], rounds, threads)
    return 0


def open_peer(python: str | None, threads: int, sizes: dict | None = None) -> Server:
    """The peer's process, its model built, the README's but for `sizes`; QtxError if that Python lacks something."""
    python = python or sys.executable
    peer = Server([python, "-I", str(PEER), str(threads), json.dumps(sizes or {})])
    if "missing" in peer.hello:
        peer.close()
        raise QtxError(f"{python} has no {peer.hello['missing']}: {remedy(python)}")
    if peer.hello["version"] != VERSION:
        peer.close()
        raise QtxError(f"{python} has q-transformer {peer.hello['version']}, expected {VERSION}: {remedy(python)}")
    return peer


def remedy(python: str) -> str:
    """How to get a Python that can be the peer."""
    return (
        f"make an environment of its own (python3 -m venv peer), `peer/bin/python -m pip install "
        f"q-transformer=={VERSION}`, then --peer-python peer/bin/python"
    )


def same_maxvit(peer: Server, folder: Path, size: Size | None = None) -> tuple[Path, float]:
    """A bundle with the peer's own image encoder and token learner, and how far its tokens are from the peer's.

    QtxError if they are further than rounding explains: then it is not the same architecture.
    """
    from qtx_ros.deploy.bundle import Manifest, write_bundle_manifest
    from qtx_ros.learn import export

    size = size or Size()
    model, difference = with_their_weights(peer, folder, size)
    bundle = folder / "bundle"
    bundle.mkdir()
    export.write_graphs(model, size.spec, bundle)
    write_bundle_manifest(bundle, Manifest("same_maxvit", size.spec, model.ring_shape, model.feature_size))
    return bundle, difference


def with_their_weights(peer: Server, folder: Path, size: Size):
    """Our network of a size with the peer's image encoder and token learner, and how far its tokens are from theirs."""
    import torch

    from qtx_ros import config
    from qtx_ros.bench.q_transformer_weights import load_weights
    from qtx_ros.model.policy import ModelConfig, QTransformer

    peer.ask("save", folder / "peer.npz")
    torch.manual_seed(0)
    model = QTransformer(size.spec, config.build(ModelConfig, size.model, "peer size")).eval()
    with np.load(folder / "peer.npz") as saved:
        difference = load_weights(model.encoder, saved)
    if difference > CLOSE:
        raise QtxError(f"the same weights give tokens that differ by {difference:.1e}, expected at most {CLOSE:g}")
    return model, difference


def take_turns(servers: dict[str, Server], rounds: int) -> dict[str, dict]:
    """p50 wall and CPU [ms] and peak memory [MB] of every server; a turn that does not count comes first."""
    times = {name: {"wall_ms": [], "cpu_ms": []} for name in servers}
    peaks = {}
    for turn in range(rounds + 1):
        for name, server in servers.items():
            found = server.ask("tick", TICKS[name])
            peaks[name] = round(found["peak_mb"])
            for key, values in times[name].items() if turn else ():
                values += found[key]
    return {
        name: {**{k: round(float(np.median(v)), 3) for k, v in kinds.items()}, "peak_mb": peaks[name]}
        for name, kinds in times.items()
    }


def _report(rows: dict[str, dict], difference: float, parameters: int, rounds: int, threads: int) -> None:
    print(f"one action, {threads} thread(s) each, in turn, {rounds} turns; {FRAMES} frames of {SIZE}² and "
          f"{MODEL['num_actions']} × {MODEL['action_bins']} bins but for the shipped model")  # fmt: skip
    print(f"their model has {parameters / 1e6:.1f} M parameters; their image encoder's weights in ours give tokens "
          f"that differ by {difference:.0e}")  # fmt: skip
    print(f"{'':24s} {'p50 ms':>9s} {'CPU p50 ms':>11s} {'peak MB':>8s} {'× faster':>9s} {'× less CPU':>11s}")
    for name, row in rows.items():
        for key, ratio in (("wall_ms", "faster"), ("cpu_ms", "less_cpu")):
            row[ratio] = round(rows[THEIRS][key] / row[key], 2)
        floor = f"  floor {FLOORS[name]:g}" if name in FLOORS else ""
        print(f"{name:24s} {row['wall_ms']:9.2f} {row['cpu_ms']:11.2f} {row['peak_mb']:8d} {row['faster']:9.1f} "
              f"{row['less_cpu']:11.1f}{floor}")  # fmt: skip
    data = {"threads": threads, "rounds": rounds, "rows": rows, "floors": FLOORS, "token_difference": difference}
    print(json.dumps({"benchmark": "tick", "against": THEIRS, **data}))
