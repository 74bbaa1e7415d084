"""ONNX Runtime sessions: which device runs a graph, and a check that the graph has the ports its manifest promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime

from qtx_ros.deploy.bundle import Ports
from qtx_ros.errors import QtxError

# `auto` leaves TensorRT out: building its engine takes minutes at the first start, so it is for those who ask for it.
# TF32 stays off: its rounding can choose another bin than the one that training saw.
CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
ENGINES = Path.home() / ".cache" / "qtx_ros" / "tensorrt"
TENSORRT = ("TensorrtExecutionProvider", {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(ENGINES)})
CPU = ("CPUExecutionProvider", {})
PROVIDERS = {
    "cpu": [CPU],
    "cuda": [CUDA, CPU],
    "tensorrt": [TENSORRT, CUDA, CPU],
}
TYPES = {
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(int64)": "int64",
    "tensor(float)": "float32",
}


class DeviceError(QtxError):
    """The device asked for is not there."""


class Session:
    """One loaded graph on one device (`cpu`, `cuda` or `tensorrt`)."""

    def __init__(self, graph: bytes, what: str, device: str, threads: int, inputs: Ports, outputs: Ports) -> None:
        _check_device(device)
        self.device = device
        self.inputs, self.outputs = inputs, outputs
        self.session = _open(graph, what, device, threads)
        _check_ports(what, "input", inputs, self.session.get_inputs())
        _check_ports(what, "output", outputs, self.session.get_outputs())

    @property
    def memory(self) -> str:
        """Where the device keeps tensors, in ONNX Runtime's words."""
        return "cpu" if self.device == "cpu" else "cuda"

    def buffer(self, name: str) -> onnxruntime.OrtValue:
        """A tensor of zeros for the input `name`, in the device's memory."""
        dtype, shape = self.inputs[name]
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype), self.memory, 0)

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """One plain run: arrays in, arrays out."""
        return dict(zip(self.outputs, self.session.run(list(self.outputs), inputs), strict=True))


def open_session(graph: bytes, what: str, device: str, threads: int, inputs: Ports, outputs: Ports) -> Session:
    """Load a graph on `device`; `auto` takes CUDA where it starts, else the CPU."""
    if device != "auto":
        return Session(graph, what, device, threads, inputs, outputs)
    if CUDA[0] in onnxruntime.get_available_providers():
        with contextlib.suppress(DeviceError):
            return Session(graph, what, "cuda", threads, inputs, outputs)
    return Session(graph, what, "cpu", threads, inputs, outputs)


def _check_device(device: str) -> None:
    if device not in PROVIDERS:
        raise QtxError(f"device is {device!r}, expected one of auto, {', '.join(PROVIDERS)}")
    provider, available = PROVIDERS[device][0][0], onnxruntime.get_available_providers()
    if provider not in available:
        raise DeviceError(
            f"device {device} needs ONNX Runtime's {provider}, this one has {', '.join(available)}: "
            "pip install 'qtx_ros[gpu]', or take device cpu"
        )


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every session of this project runs: `threads` threads (0: ONNX Runtime chooses), no spinning, quiet."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle policy must not burn a core
    options.log_severity_level = 3
    return options


def _open(graph: bytes, what: str, device: str, threads: int) -> onnxruntime.InferenceSession:
    try:
        session = onnxruntime.InferenceSession(graph, session_options(threads), providers=PROVIDERS[device])
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise QtxError(f"{what} does not load in ONNX Runtime {onnxruntime.__version__}: {_one_line(error)}") from None
    provider = PROVIDERS[device][0][0]
    if session.get_providers()[0] != provider:
        raise DeviceError(f"device {device}: {provider} did not start, its driver, CUDA or cuDNN may be missing")
    return session


def _check_ports(what: str, kind: str, wanted: Ports, found: Iterable[onnxruntime.NodeArg]) -> None:
    got = {port.name: (TYPES.get(port.type, port.type), tuple(port.shape)) for port in found}
    for name, port in wanted.items():
        if got.get(name) != port:
            have = _port(got[name]) if name in got else f"no such {kind} among {', '.join(got) or 'none'}"
            raise QtxError(f"{what} does not fit its manifest: {kind} {name} should be {_port(port)}, it has {have}")
    extra = sorted(got.keys() - wanted.keys())
    if extra:
        raise QtxError(f"{what} does not fit its manifest: unexpected {kind} {', '.join(extra)}")


def _port(port: tuple[str, tuple]) -> str:
    return f"{port[0]} {list(port[1])}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
