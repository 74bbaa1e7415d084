"""Does an exported graph decide as the network does? Compared on random observations, ring carried on by each side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qtx_ros.data.frames import frame_shape
from qtx_ros.deploy.bundle import ACT, FRAME
from qtx_ros.errors import QtxError
from qtx_ros.learn.graphs import INPUTS, InstructionGraph, TickGraph
from qtx_ros.learn.sentences import text_reader
from qtx_ros.model.policy import QTransformer
from qtx_ros.spec import Spec

OBSERVATIONS = 256
TICKS = 8  # of one episode: the first fills the ring
TIE = 1e-5  # of the largest |Q| (at least 1): float32 sums in another order differ by up to a tenth of this


@dataclass(frozen=True)
class Parity:
    """What the comparison found."""

    observations: int  # compared
    different: int  # of these, with at least one other bin
    ties: int  # drawn besides: the network's own best two candidates of some decision are closer than `TIE`
    largest_q_difference: float  # over all bins, as long as both sides chose the same bins before
    smallest_gap: float  # between the best two bins of any decision compared

    def check(self) -> None:
        """QtxError unless every bin of every observation is the same, and most of them are decided."""
        if self.different:
            raise QtxError(
                f"torch and ONNX Runtime choose other bins in {self.different} of {self.observations} observations, "
                f"expected none (their Q differ by up to {self.largest_q_difference:.1e}, the closest two bins by "
                f"{self.smallest_gap:.1e})"
            )
        if self.ties > self.observations:  # neighbours of many smoothed bins are close: a fifth is usual
            raise QtxError(
                f"the network cannot decide: in {self.ties} random observations beside {self.observations} others the "
                f"best two bins are closer than {TIE:g}, expected at most as many"
            )


def compare(
    model: QTransformer,
    spec: Spec,
    folder: Path,
    instructions: list[str],
    seed: int = 0,
    count: int = OBSERVATIONS,
    split: bool = False,
) -> Parity:
    """Run random observations through the network and the graphs in `folder`, until `count` without a tie are compared.

    Frames are random bytes, states spread over three standard deviations of the data; episodes of `TICKS` ticks each
    carry their ring on, each with an instruction of the list in turn. A tie has no right answer in float32: it is
    counted, not compared, and if the graphs took another bin they go on from the network's ring. `split`: the graphs
    that encode pictures first, instead of the one graph; same observations.
    """
    rng, read = np.random.default_rng(seed), text_reader(model.config)
    ours, theirs = _Torch(model, spec), (_Split if split else _Onnx)(folder)
    different, ties, worst, gaps = 0, 0, 0.0, []
    while len(gaps) < count and ties <= count:
        drawn = len(gaps) + ties
        if drawn % TICKS == 0:
            tokens = read(instructions[(drawn // TICKS) % len(instructions)])[None]
            ours.start(tokens, model.ring_shape), theirs.start(tokens, model.ring_shape)
        frames, state = _observation(model, spec, rng)
        a, b = (side.tick(frames, state, drawn % TICKS == 0) for side in (ours, theirs))
        gap = ours.gap(a)
        if gap < TIE * max(1.0, float(np.abs(a["q"]).max())):
            ties += 1
            if not np.array_equal(a["bins"], b["bins"]):
                theirs.ring = ours.ring.copy()  # a memory keeps the bins: both are right, and go on from one past
            continue
        gaps.append(gap)
        different += not np.array_equal(a["bins"], b["bins"])
        worst = max(worst, _q_difference(a, b))
    return Parity(len(gaps), different, ties, worst, min(gaps, default=0.0))


def _observation(model: QTransformer, spec: Spec, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random frames uint8 [C, H, W, 3] and state float32 [S]."""
    frames = rng.integers(0, 256, frame_shape(spec), np.uint8)
    mean, std = (getattr(model.encoder, name).cpu().numpy() for name in ("state_mean", "state_std"))
    return frames, (mean + std * rng.uniform(-3, 3, len(mean))).astype(np.float32)


def _q_difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """Largest |ΔQ| over the dimensions up to the first whose bins differ: after it Q is of another prefix."""
    same = a["bins"] == b["bins"]
    compared = np.isfinite(a["q_all"]) & np.concatenate([[True], same.cumprod()[:-1] > 0])[:, None]
    return float(np.abs(a["q_all"][compared] - b["q_all"][compared]).max())


class _Side:
    """One tick after another; the ring is carried on."""

    def start(self, tokens: np.ndarray, ring: tuple[int, int, int]) -> None:
        self.features, self.ring = self.instruct(tokens), np.zeros(ring, np.float32)

    def tick(self, frames: np.ndarray, state: np.ndarray, first: bool) -> dict[str, np.ndarray]:
        inputs = (*([frames] if len(frames) else []), state, self.ring, np.array([first]), self.features)
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
    def gap(self, outputs: dict[str, np.ndarray]) -> float:
        """How far in Q the closest two candidates of any decision of this tick are apart."""
        model, config = self._tick.model, self._tick.model.config
        if config.beam == 1 and config.order == "fixed":  # `q_all` shows all of them
            return float(np.diff(np.sort(outputs["q_all"], 1)[:, -2:], axis=1).min())
        return model.margin(model.context(torch.tensor(outputs["ring_out"])[None])).item()

    @torch.no_grad()
    def run(self, inputs) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in self._tick(*map(torch.tensor, inputs))]


class _Onnx(_Side):
    def __init__(self, folder: Path) -> None:
        self._tick, self._instruction = session(folder / "tick.onnx"), session(folder / "instruction.onnx")

    def instruct(self, tokens: np.ndarray) -> np.ndarray:
        return self._instruction.run(None, {"tokens": tokens})[0]

    def run(self, inputs) -> list[np.ndarray]:
        return self._tick.run(list(TickGraph.outputs), dict(zip(INPUTS[-len(inputs):], inputs, strict=True)))


class _Split(_Onnx):
    """`frame.onnx` for each camera, then `act.onnx`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._frame, self._act = session(folder / FRAME), session(folder / ACT)

    def run(self, inputs) -> list[np.ndarray]:
        frames, *others, features = inputs
        tokens = [self._frame.run(None, {"frame": frame, "features": features})[0] for frame in frames]
        given = {f"tokens_{i}": array for i, array in enumerate(tokens)}
        given |= dict(zip(INPUTS[1:], (*others, features), strict=True))
        return self._act.run(list(TickGraph.outputs), given)


def session(path: Path):
    """An ONNX Runtime session on one CPU thread."""
    import onnxruntime

    from qtx_ros.deploy.session import session_options

    return onnxruntime.InferenceSession(str(path), session_options(1), providers=["CPUExecutionProvider"])
