"""ONNX Runtime sessions: which device runs a graph, and a check that the graph has the ports its manifest promises."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime

from qtx_ros.deploy.bundle import Ports
from qtx_ros.errors import QtxError

ENGINES = Path.home() / ".cache" / "qtx_ros" / "tensorrt"
NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
TYPES = {
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(int64)": "int64",
    "tensor(float)": "float32",
}

Providers = list[tuple[str, dict[str, str]]]


class DeviceError(QtxError):
    """The device asked for is not there, or does not run this graph."""


def providers(device: str, precision: str = "fp32", capture: bool = False) -> Providers:
    """ONNX Runtime's execution providers for `device` (cpu, cuda, tensorrt), the first one to be used where it can.

    `capture`: record a CUDA graph in the first runs and replay it in all others. TF32 stays off: its rounding can
    choose another bin than the one that training saw. TensorRT rounds only as far as the bundle's `precision` says.
    """
    cpu = (NAMES["cpu"], {})
    cuda = (NAMES["cuda"], {"use_tf32": "0", "enable_cuda_graph": _flag(capture and device == "cuda")})
    if device == "cpu":
        return [cpu]
    if device == "cuda":
        return [cuda, cpu]
    options = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(ENGINES),
        "trt_cuda_graph_enable": _flag(capture),
        "trt_fp16_enable": _flag(precision == "fp16"),
        "trt_bf16_enable": _flag(precision == "bf16"),
    }
    return [(NAMES["tensorrt"], options), cuda, cpu]


def _flag(on: bool) -> str:
    return "1" if on else "0"


class Session:
    """One loaded graph on one device (`cpu`, `cuda` or `tensorrt`)."""

    def __init__(
        self,
        graph: bytes,
        what: str,
        device: str,
        threads: int,
        inputs: Ports,
        outputs: Ports,
        precision: str = "fp32",
        capture: bool = False,
    ) -> None:
        """`what` names the graph in errors; DeviceError where the device does not start."""
        check_device(device)
        self.device, self.inputs, self.outputs = device, inputs, outputs
        self.session = _open(graph, what, device, threads, providers(device, precision, capture))
        _check_ports(what, "input", inputs, self.session.get_inputs())
        _check_ports(what, "output", outputs, self.session.get_outputs())

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """One plain run: arrays in, arrays out."""
        return dict(zip(self.outputs, self.session.run(list(self.outputs), inputs), strict=True))


class Buffer:
    """A tensor at a fixed address of the device, and its copy in main memory; on the CPU the two are one."""

    def __init__(self, port: tuple[str, tuple[int, ...]], device: str) -> None:
        dtype, shape = port
        self.host, self._apart = np.zeros(shape, dtype), device != "cpu"
        self.value = onnxruntime.OrtValue.ortvalue_from_numpy(self.host, "cuda" if self._apart else "cpu", 0)

    def push(self) -> None:
        """Copy what `host` holds to the device."""
        if self._apart:
            self.value.update_inplace(self.host)

    def pull(self) -> np.ndarray:
        """`host`, with what the device holds."""
        if self._apart:
            np.copyto(self.host, self.value.numpy())
        return self.host


def bind(session: Session, inputs: dict[str, Buffer], outputs: dict[str, Buffer]) -> onnxruntime.IOBinding:
    """Bind buffers to the ports of those names, once and for all."""
    binding = session.session.io_binding()
    for name in session.inputs:
        binding.bind_ortvalue_input(name, inputs[name].value)
    for name in session.outputs:
        binding.bind_ortvalue_output(name, outputs[name].value)
    return binding


def check_device(device: str) -> None:
    """DeviceError with a remedy if this ONNX Runtime was built without `device`."""
    provider, available = NAMES[device], onnxruntime.get_available_providers()
    if provider not in available:
        raise DeviceError(
            f"device {device} needs ONNX Runtime's {provider}, this one has {', '.join(available)}: "
            "pip install 'qtx_ros[gpu]'"
        )


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every session of this project runs: `threads` threads (0: ONNX Runtime chooses), no spinning, quiet."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle policy must not burn a core
    options.log_severity_level = 3
    return options


def _open(graph: bytes, what: str, device: str, threads: int, wanted: Providers) -> onnxruntime.InferenceSession:
    if device == "tensorrt":
        ENGINES.mkdir(parents=True, exist_ok=True)
    try:
        session = onnxruntime.InferenceSession(graph, session_options(threads), providers=wanted)
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        kind = QtxError if device == "cpu" else DeviceError
        where = f"in ONNX Runtime {onnxruntime.__version__} on {device}"
        raise kind(f"{what} does not load {where}: {one_line(error)}") from None
    if session.get_providers()[0] != NAMES[device]:
        raise DeviceError(f"device {device}: {NAMES[device]} did not start, its driver, CUDA or cuDNN may be missing")
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


def one_line(error: Exception) -> str:
    """An error of ONNX Runtime, cut to one line."""
    return " ".join(str(error).split())[:300]
