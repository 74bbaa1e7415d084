"""A policy: `reset()`, `instruct(text)`, `see(camera, frame)`, `act(frames, state)`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qtx_ros.deploy.bundle import INSTRUCTION, Bundle, load_bundle
from qtx_ros.deploy.network import open_network
from qtx_ros.deploy.sentences import text_reader
from qtx_ros.deploy.session import Session
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import bin_values, decided_together
from qtx_ros.spec import Spec


@dataclass(frozen=True)
class Choice:
    """What the policy chose at one tick, for each of the D action dimensions, and what it cost."""

    bins: np.ndarray  # int64 [D]
    values: np.ndarray  # float64 [D], exactly the values of the bins
    q: np.ndarray  # float32 [D], of the chosen bins
    q_all: np.ndarray  # float32 [D, max bins], absent bins −inf
    input_ns: int  # time to hand the observation to the device
    run_ns: int  # time in the graph, results included
    explored: bool = False  # exploration took other bins than the network's best


class Policy:
    """A loaded bundle with its ring of frame tokens, which never leaves the device."""

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 1) -> None:
        """`device`: one of `network.DEVICES`; `threads`: of ONNX Runtime, 0 lets it choose."""
        if threads < 0:
            raise QtxError(f"threads is {threads}, expected 0 (ONNX Runtime chooses) or more")
        self.manifest = manifest = bundle.manifest
        self.spec: Spec = manifest.spec
        self.cells = decided_together(manifest.spec, manifest.model)
        self._text = Session(
            bundle.graphs[INSTRUCTION], str(bundle.folder / INSTRUCTION), "cpu", threads,
            manifest.instruction_inputs(), manifest.instruction_outputs(),
        )  # fmt: skip
        self._read = text_reader(bundle)
        self._network = open_network(bundle, device, threads)
        self._inputs = self._network.inputs
        self._values, self._rows = _value_table(self.spec), np.arange(len(self.spec.dimensions))
        self.instruction: str | None = None
        self.reset()

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", threads: int = 1) -> Policy:
        """Verify the bundle in `folder` and load it; QtxError says what is wrong with it."""
        return cls(load_bundle(folder), device, threads)

    @property
    def provider(self) -> str:
        """What computes the tick: ONNX Runtime's execution provider, or PyTorch."""
        return self._network.provider

    @property
    def device(self) -> str:
        """Where the tick is computed: one of `network.DEVICES`, never auto."""
        return self._network.device

    @property
    def device_line(self) -> str:
        """One line for the log: what runs where, and why not where it was asked to."""
        return f"policy {self.manifest.name!r} runs on {self._network.line}"

    @property
    def sees(self) -> bool:
        """Frames can be shown before the tick: the bundle has the graphs for it."""
        return self._network.sight is not None

    def reset(self) -> None:
        """Forget all frames: the next `act` is the first of an episode."""
        self._first = True

    @property
    def fresh(self) -> bool:
        """No frame was seen since the last reset."""
        return self._first

    def instruct(self, text: str) -> None:
        """Take a new instruction. Costs one small graph when the text changed, nothing otherwise; keeps the ring."""
        if text == self.instruction:
            return
        np.copyto(self._inputs["features"], self._text.run(tokens=self._read(text)[None])["features"])
        self._network.instruct()
        self.instruction = text

    def see(self, camera: str, frame: np.ndarray) -> None:
        """Encode a camera's frame, uint8 [H, W, 3], as soon as it is there, from any thread.

        An `act` with these very frames is the sooner done; with others it decides the same, only later. A frame that
        was shown must not be changed. Does nothing where `sees` is false, and before the first instruction.
        """
        if self._network.sight is not None:
            self._check_frame(camera, frame)
            self._network.sight.see(camera, frame)

    def act(self, frames: Mapping[str, np.ndarray], state: np.ndarray) -> Choice:
        """Choose an action from one uint8 [H, W, 3] frame per camera (network size) and a state of S finite numbers."""
        if self.instruction is None:
            raise QtxError("the policy has no instruction yet: call instruct(text) before act()")
        begin = time.perf_counter_ns()
        tokens = self._take_frames(frames)
        self._take_state(state)
        first, self._first = self._first, False  # a reset from another thread during the run stays noted
        self._inputs["first"][0] = first
        ready = time.perf_counter_ns()
        out = self._network.run(tokens)
        done = time.perf_counter_ns()
        bins = out["bins"].copy()
        values = self._values[self._rows, bins]
        return Choice(bins, values, out["q"].copy(), out["q_all"].copy(), input_ns=ready - begin, run_ns=done - ready)

    def _take_frames(self, frames: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
        """Tokens of frames that were seen; otherwise the frames are made ready for the graph."""
        ordered = [frames.get(camera.name) for camera in self.spec.cameras]
        tokens = self._network.sight.tokens(ordered) if self.sees else None
        if tokens is None:
            for camera, frame, place in zip(self.spec.cameras, ordered, self._inputs.get("frames", ()), strict=True):
                self._check_frame(camera.name, frame)
                np.copyto(place, frame)
        return tokens

    def _check_frame(self, camera: str, frame: np.ndarray | None) -> None:
        shape = self._inputs["frames"].shape[1:]
        if frame is None or frame.dtype != np.uint8 or frame.shape != shape:
            got = "no frame" if frame is None else f"{frame.dtype} {list(frame.shape)}"
            raise QtxError(f"camera {camera!r}: got {got}, the policy takes uint8 {list(shape)}")

    def _take_state(self, state: np.ndarray) -> None:
        place = self._inputs["state"]
        fits = np.shape(state) == place.shape
        if fits:
            place[:] = state
        if not fits or not np.isfinite(place).all():
            got, names = np.asarray(state).tolist(), ", ".join(self.spec.state_names)
            raise QtxError(f"state is {got}, the policy takes one finite number for each of {names}")


def _value_table(spec: Spec) -> np.ndarray:
    """The value of each bin, float64 [D, max bins]; NaN for absent bins."""
    table = np.full((len(spec.dimensions), max(d.bins for d in spec.dimensions)), np.nan)
    for row, dimension in zip(table, spec.dimensions, strict=True):
        row[: dimension.bins] = bin_values(dimension)
    return table
