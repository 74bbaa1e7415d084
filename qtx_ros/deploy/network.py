"""The graphs of a bundle on a device, every tensor bound once; and what takes over where a device is missing."""

from __future__ import annotations

from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import onnxruntime

from qtx_ros.deploy.bundle import ACT, FRAME, TICK, Bundle, Ports
from qtx_ros.deploy.session import Buffer, DeviceError, Session, bind, check_device, one_line
from qtx_ros.deploy.sight import Sight
from qtx_ros.errors import QtxError

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "torch-cuda", "torch-cpu")
WARM_UP = 4  # runs of each graph: the first ones are slow, on a GPU by seconds; then a CUDA graph is captured
RESULTS = ("bins", "q", "q_all")
Turns = list[tuple[onnxruntime.InferenceSession, onnxruntime.IOBinding]]  # from one ring into the other, and back


class Network(Protocol):
    """One tick, on some device."""

    device: str  # one of `DEVICES`
    provider: str  # what computes it, in the words of its library
    line: str  # where it runs and why not where it was asked to, for the log
    sight: Sight | None  # where pictures are encoded before the tick, if that is possible
    inputs: dict[str, np.ndarray]  # frames, state, first, features: written by the caller

    def instruct(self) -> None:
        """Take `inputs["features"]`."""

    def run(self, tokens: list[np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """One tick with what `inputs` holds; `tokens` of each camera stand for its frame. The results bins, q and q_all
        are overwritten by the next run."""


def open_network(bundle: Bundle, device: str, threads: int) -> Network:
    """The network on `device`, one of `DEVICES`; where that does not start, on the CPU, and its `line` says why.

    `auto` takes CUDA where ONNX Runtime has it; TensorRT is for those who ask: its engine takes minutes to build.
    """
    if device not in DEVICES:
        raise QtxError(f"device is {device!r}, expected one of {', '.join(DEVICES)}")
    why = ""
    for kind, capture in _attempts(device):
        try:
            network = _torch(bundle, kind) if kind.startswith("torch") else _Onnx(bundle, kind, threads, capture)
            network.line += f", because {why}" if why else ""
            return network
        except DeviceError as error:
            why = why or str(error)
    return _Onnx(bundle, "cpu", threads, False, why)


def _attempts(device: str) -> list[tuple[str, bool]]:
    """Devices to try before the CPU, each with CUDA graphs or without."""
    if device == "auto":
        device = "cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"
    if device.startswith("torch"):
        return [(device, device == "torch-cuda")]
    return [] if device == "cpu" else [(device, True), (device, False)]


def _torch(bundle: Bundle, device: str) -> Network:
    try:
        from qtx_ros.learn.torch_network import TorchNetwork
    except ImportError as error:
        raise DeviceError(f"device {device} needs {error.name}: pip install 'qtx_ros[train]'") from None
    return TorchNetwork(bundle, device.removeprefix("torch-"))


def sent(inputs: Container[str]) -> tuple[str, ...]:
    """Those inputs of `tick.onnx` that are new each tick; a robot without cameras has no frames."""
    return ("frames", "state", "first") if "frames" in inputs else ("state", "first")


class _Onnx:
    """`tick.onnx` in ONNX Runtime and, where the bundle has them, `frame.onnx` and `act.onnx`.

    Two rings swap roles, so the ring is never copied and never leaves the device. A captured CUDA graph knows one set
    of addresses, so each of the two turns then has a session of its own; and ONNX Runtime keeps it for the thread
    that captured it, so on a GPU everything runs in one thread.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int, capture: bool, why: str = "") -> None:
        check_device(device)
        self._bundle, self.device, self._threads, self._capture = bundle, device, threads, capture
        self._worker = ThreadPoolExecutor(1, "network") if device != "cpu" else None
        manifest = bundle.manifest
        ports = manifest.tick_inputs() | manifest.tick_outputs() | (manifest.act_inputs() if manifest.picture else {})
        self._buffers = {name: Buffer(port, device) for name, port in ports.items() if not name.startswith("ring")}
        self._rings = [Buffer(ports["ring"], device) for _ in range(2)]
        self.inputs = {name: self._buffers[name].host for name in (*sent(ports), "features")}
        self._turn = 0
        self._tick = self._turns(TICK, manifest.tick_inputs(), manifest.tick_outputs())
        self._act = self._turns(ACT, manifest.act_inputs(), manifest.act_outputs()) if manifest.picture else None
        self.sight = self._open_sight() if manifest.picture else None
        self._warm_up()
        self.provider = self._tick[0][0].get_providers()[0]
        self.line = self._describe() + (f", because {why}" if why else "")

    def instruct(self) -> None:
        """Take `inputs["features"]`."""
        self._do(self._buffers["features"].push)
        if self.sight:
            self.sight.instruct(self.inputs["features"])

    def run(self, tokens: list[np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """One tick; see `Network`."""
        return self._do(self._run_tick) if tokens is None else self._do(self._run_act, tokens)

    def _run_tick(self) -> dict[str, np.ndarray]:
        for name in sent(self.inputs):
            self._buffers[name].push()
        return self._run(self._tick)

    def _run_act(self, tokens: list[np.ndarray]) -> dict[str, np.ndarray]:
        for i, array in enumerate(tokens):
            buffer = self._buffers[f"tokens_{i}"]
            np.copyto(buffer.host, array)
            buffer.push()
        for name in ("state", "first"):
            self._buffers[name].push()
        return self._run(self._act)

    def _run(self, turns: Turns) -> dict[str, np.ndarray]:
        session, binding = turns[self._turn]
        self._turn = 1 - self._turn
        session.run_with_iobinding(binding)
        return {name: self._buffers[name].pull() for name in RESULTS}

    def _do(self, work: Callable, *arguments: Any) -> Any:
        """Call `work` in the thread that runs the graphs."""
        return self._worker.submit(work, *arguments).result() if self._worker else work(*arguments)

    def _turns(self, name: str, inputs: Ports, outputs: Ports) -> Turns:
        """A graph bound twice: from the first ring into the second, and back."""
        sessions = [self._session(name, inputs, outputs) for _ in range(2 if self._capture else 1)] * 2
        turns = []
        for session, (ring, ring_out) in zip(sessions, (self._rings, self._rings[::-1]), strict=False):
            buffers = self._buffers | {"ring": ring, "ring_out": ring_out}
            turns.append((session.session, bind(session, buffers, buffers)))
        return turns

    def _session(self, name: str, inputs: Ports, outputs: Ports) -> Session:
        bundle = self._bundle
        return Session(
            bundle.graphs[name], str(bundle.folder / name), self.device, self._threads, inputs, outputs,
            bundle.manifest.precision, self._capture,
        )  # fmt: skip

    def _open_sight(self) -> Sight:
        manifest = self._bundle.manifest
        session = self._session(FRAME, manifest.frame_inputs(), manifest.frame_outputs())
        return Sight(session, [camera.name for camera in manifest.spec.cameras], self._do)

    def _warm_up(self) -> None:
        """The first runs, before any counts. DeviceError where a GPU cannot run the graphs after all."""
        try:
            for _ in range(WARM_UP):
                self._do(self._run_tick)
                if self._act:
                    self._do(self._run, self._act)
                    self._do(self.sight.run)
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            if self.device == "cpu":
                raise
            raise DeviceError(f"device {self.device} does not run it: {one_line(error)}") from None

    def _describe(self) -> str:
        graphs = " with CUDA graphs" if self._capture else ""
        return f"{self.device}{graphs} ({self.provider}, ONNX Runtime {onnxruntime.__version__})"
