"""Does an exported graph decide as the network does? Compared on random observations, ring carried on by each side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qtx_ros.errors import QtxError
from qtx_ros.learn.graphs import InstructionGraph, TickGraph
from qtx_ros.model.policy import QTransformer
from qtx_ros.preprocess import text_tokens
from qtx_ros.spec import Spec

OBSERVATIONS = 256
TICKS = 8  # of one episode: the first fills the ring


@dataclass(frozen=True)
class Parity:
    """What the comparison found."""

    observations: int
    different: int  # observations with at least one other bin
    largest_q_difference: float  # over all bins of all dimensions, up to the first other bin
    smallest_gap: float  # between the best two bins of any decision: a gap as small as the difference above is a tie

    def check(self) -> None:
        """QtxError unless every bin of every observation is the same."""
        if self.different:
            raise QtxError(
                f"torch and ONNX Runtime choose other bins in {self.different} of {self.observations} observations, "
                f"expected none (their Q differ by up to {self.largest_q_difference:.1e}, the closest two bins by "
                f"{self.smallest_gap:.1e})"
            )


def compare(
    model: QTransformer, spec: Spec, folder: Path, instructions: list[str], seed: int = 0, count: int = OBSERVATIONS
) -> Parity:
    """Run `count` random observations through the network and through the graphs in `folder`.

    Frames are random bytes, states spread over three standard deviations of the data; episodes of `TICKS` ticks each
    carry their ring on, each with an instruction of the list in turn.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = _Torch(model, spec), _Onnx(folder)
    shape = (len(spec.cameras), spec.cameras[0].height, spec.cameras[0].width, 3)
    mean, std = (getattr(model.encoder, name).cpu().numpy() for name in ("state_mean", "state_std"))
    different, worst, gaps = 0, 0.0, []
    for i in range(count):
        first = i % TICKS == 0
        if first:
            tokens = text_tokens(instructions[(i // TICKS) % len(instructions)])[None]
            ours.start(tokens, model.ring_shape), theirs.start(tokens, model.ring_shape)
        frames = rng.integers(0, 256, shape, dtype=np.uint8)
        state = (mean + std * rng.uniform(-3, 3, len(mean))).astype(np.float32)
        a, b = ours.tick(frames, state, first), theirs.tick(frames, state, first)
        same = a["bins"] == b["bins"]
        different += not same.all()
        seen = same.cumprod().astype(bool) | (np.cumsum(~same) == 1)  # after an other bin, Q is of another prefix
        compared = np.isfinite(a["q_all"]) & seen[:, None]
        worst = max(worst, float(np.abs(a["q_all"][compared] - b["q_all"][compared]).max()))
        gaps.append(np.diff(np.sort(a["q_all"], 1)[:, -2:], axis=1).min())
    return Parity(count, different, worst, float(min(gaps)))


class _Side:
    """One tick after another; the ring is carried on."""

    def start(self, tokens: np.ndarray, ring: tuple[int, int, int]) -> None:
        self.features, self.ring = self.instruct(tokens), np.zeros(ring, np.float32)

    def tick(self, frames: np.ndarray, state: np.ndarray, first: bool) -> dict[str, np.ndarray]:
        inputs = (frames, state, self.ring, np.array([first]), self.features)
        outputs = dict(zip(TickGraph.outputs, self.run(inputs), strict=True))
        self.ring = outputs["ring_out"]
        return outputs


class _Torch(_Side):
    def __init__(self, model: QTransformer, spec: Spec) -> None:
        self._tick, self._instruction = TickGraph(model, spec).eval(), InstructionGraph(model).eval()

    @torch.no_grad()
    def instruct(self, tokens: np.ndarray) -> np.ndarray:
        return self._instruction(torch.tensor(tokens)).numpy()

    @torch.no_grad()
    def run(self, inputs) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in self._tick(*map(torch.tensor, inputs))]


class _Onnx(_Side):
    def __init__(self, folder: Path) -> None:
        self._tick, self._instruction = session(folder / "tick.onnx"), session(folder / "instruction.onnx")

    def instruct(self, tokens: np.ndarray) -> np.ndarray:
        return self._instruction.run(None, {"tokens": tokens})[0]

    def run(self, inputs) -> list[np.ndarray]:
        return self._tick.run(list(TickGraph.outputs), dict(zip(TickGraph.inputs, inputs, strict=True)))


def session(path: Path):
    """An ONNX Runtime session on one CPU thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
