"""A policy: `reset()`, `instruct(text)`, `act(frames, state)`. NumPy and ONNX Runtime, nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from qtx_ros.deploy.bundle import INSTRUCTION, TICK, Bundle, load_bundle
from qtx_ros.deploy.session import Session, open_session
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import from_bins, text_tokens
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


class Policy:
    """A loaded bundle with its ring of frame tokens, which never leaves the device."""

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 1) -> None:
        """`device`: auto, cpu, cuda or tensorrt; `threads`: of ONNX Runtime, 0 lets it choose."""
        if threads < 0:
            raise QtxError(f"threads is {threads}, expected 0 (ONNX Runtime chooses) or more")
        self.manifest = manifest = bundle.manifest
        self.spec: Spec = manifest.spec
        self._tick = open_session(
            bundle.graphs[TICK], str(bundle.folder / TICK), device, threads,
            manifest.tick_inputs(), manifest.tick_outputs(),
        )  # fmt: skip
        self._text = open_session(
            bundle.graphs[INSTRUCTION], str(bundle.folder / INSTRUCTION), "cpu", threads,
            manifest.instruction_inputs(), manifest.instruction_outputs(),
        )  # fmt: skip
        self._buffers = _Buffers(self._tick)
        for _ in range(2):  # the first run of each binding is the slow one, on a GPU by seconds
            self._buffers.run()
        self.instruction: str | None = None
        self.reset()

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", threads: int = 1) -> Policy:
        """Verify the bundle in `folder` and load it; QtxError says what is wrong with it."""
        return cls(load_bundle(folder), device, threads)

    @property
    def provider(self) -> str:
        """ONNX Runtime's execution provider of the tick."""
        return self._tick.session.get_providers()[0]

    @property
    def device_line(self) -> str:
        """One line for the log: what runs where."""
        version = onnxruntime.__version__
        return f"policy {self.manifest.name!r} runs on {self._tick.device} ({self.provider}, ONNX Runtime {version})"

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
        tokens = text_tokens(text)[None]
        self._buffers.write("features", self._text.run(tokens=tokens)["features"])
        self.instruction = text

    def act(self, frames: Mapping[str, np.ndarray], state: np.ndarray) -> Choice:
        """Choose an action from one uint8 [H, W, 3] frame per camera (network size) and a state of S finite numbers."""
        if self.instruction is None:
            raise QtxError("the policy has no instruction yet: call instruct(text) before act()")
        begin = time.perf_counter_ns()
        self._buffers.write("frames", self._stack(frames))
        self._buffers.write("state", self._state(state))
        first, self._first = self._first, False  # a reset from another thread during the run stays noted
        self._buffers.write("first", np.array([first]))
        ready = time.perf_counter_ns()
        out = self._buffers.run()
        done = time.perf_counter_ns()
        values = from_bins(self.spec, out["bins"])
        return Choice(out["bins"], values, out["q"], out["q_all"], input_ns=ready - begin, run_ns=done - ready)

    def _stack(self, frames: Mapping[str, np.ndarray]) -> np.ndarray:
        shape = self._tick.inputs["frames"][1]
        for camera in self.spec.cameras:
            frame = frames.get(camera.name)
            if frame is None or frame.dtype != np.uint8 or frame.shape != shape[1:]:
                got = "no frame" if frame is None else f"{frame.dtype} {list(frame.shape)}"
                raise QtxError(f"camera {camera.name!r}: got {got}, the policy takes uint8 {list(shape[1:])}")
        return np.stack([frames[camera.name] for camera in self.spec.cameras])

    def _state(self, state: np.ndarray) -> np.ndarray:
        state = np.ascontiguousarray(state, np.float32)
        if state.shape != self._tick.inputs["state"][1] or not np.isfinite(state).all():
            names = ", ".join(self.spec.state_names)
            raise QtxError(f"state is {state.tolist()}, the policy takes one finite number for each of {names}")
        return state


class _Buffers:
    """Every tensor of the tick graph, bound once. Two rings swap roles, so the ring is never copied off the device."""

    def __init__(self, tick: Session) -> None:
        self._session = tick.session
        self._inputs = {name: tick.buffer(name) for name in ("frames", "state", "first", "features")}
        self._rings = (tick.buffer("ring"), tick.buffer("ring"))
        small = {name: port for name, port in tick.outputs.items() if name != "ring_out"}
        self._results = {name: np.zeros(shape, dtype) for name, (dtype, shape) in small.items()}
        self._values = {n: onnxruntime.OrtValue.ortvalue_from_numpy(a, "cpu", 0) for n, a in self._results.items()}
        self._bindings = [self._bind(source, target) for source, target in (self._rings, self._rings[::-1])]

    def _bind(self, source: onnxruntime.OrtValue, target: onnxruntime.OrtValue) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        for name, value in self._inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_input("ring", source)
        binding.bind_ortvalue_output("ring_out", target)
        for name, value in self._values.items():
            binding.bind_ortvalue_output(name, value)
        return binding

    def write(self, name: str, array: np.ndarray) -> None:
        """Copy an array into the input `name` on the device."""
        self._inputs[name].update_inplace(array)

    def run(self) -> dict[str, np.ndarray]:
        """Run the graph once; copies of the results, [D] or [D, max bins] each."""
        self._session.run_with_iobinding(self._bindings[0])
        self._bindings.reverse()
        return {name: array.copy() for name, array in self._results.items()}
