"""The tick in PyTorch, for GPUs that no build of ONNX Runtime knows: the bundle's weights, replayed as a CUDA graph."""

from __future__ import annotations

import contextlib

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from qtx_ros import config
from qtx_ros.deploy.bundle import WEIGHTS, Bundle
from qtx_ros.deploy.network import RESULTS, sent
from qtx_ros.deploy.session import DeviceError
from qtx_ros.learn.graphs import TickGraph
from qtx_ros.model.guidance import inference
from qtx_ros.model.policy import ModelConfig, QTransformer

WARM_UP = 3  # runs before the capture, as PyTorch's notes on CUDA graphs ask for
LOW = {"fp16": torch.float16, "bf16": torch.bfloat16}


class TorchNetwork:
    """`qtx_ros.deploy.network.Network` on PyTorch: fixed addresses, and a ring that stays on the device."""

    sight = None  # a GPU that is asked twice a tick gains nothing

    def __init__(self, bundle: Bundle, device: str) -> None:
        """`device`: cuda or cpu. DeviceError where it, or the bundle's weights, are not there."""
        if WEIGHTS not in bundle.graphs:
            raise DeviceError(f"device torch-{device} needs {WEIGHTS} in {bundle.folder}: qtx export --torch writes it")
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(f"device torch-cuda: PyTorch {torch.__version__} finds no CUDA GPU")
        self.device, self._cuda = f"torch-{device}", device == "cuda"
        self._tick, self._low = _tick(bundle).to(device), LOW.get(bundle.manifest.precision)
        self._hosts = {name: self._host(port) for name, port in bundle.manifest.tick_inputs().items()}
        self.inputs = {name: tensor.numpy() for name, tensor in self._hosts.items()}
        self._given = {name: tensor.to(device, copy=True) for name, tensor in self._hosts.items()}
        self._results = {name: self._host(bundle.manifest.tick_outputs()[name]) for name in RESULTS}
        self._found, self._graph = self._step(), None
        if self._cuda:
            self._capture()
        self.provider = "PyTorch CUDA" if self._cuda else "PyTorch CPU"
        graphs = " with CUDA graphs" if self._cuda else ""
        self.line = f"{self.device}{graphs} (PyTorch {torch.__version__})"

    def instruct(self) -> None:
        """Take `inputs["features"]`."""
        self._given["features"].copy_(self._hosts["features"])

    def run(self, tokens: list[np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """One tick with what `inputs` holds; the results are overwritten by the next one."""
        for name in sent(self._given):
            self._given[name].copy_(self._hosts[name], non_blocking=True)
        if self._graph is None:
            self._found = self._step()
        else:
            self._graph.replay()
        for name, tensor in self._results.items():
            tensor.copy_(self._found[name], non_blocking=True)
        if self._cuda:
            torch.cuda.synchronize()
        return {name: tensor.numpy() for name, tensor in self._results.items()}

    @torch.inference_mode()
    def _step(self) -> dict[str, Tensor]:
        """One tick on the device's tensors; the ring becomes the new one in place."""
        kind = "cuda" if self._cuda else "cpu"
        with torch.autocast(kind, self._low) if self._low else contextlib.nullcontext():
            found = dict(zip(TickGraph.outputs, self._tick(*self._given.values()), strict=True))
        self._given["ring"].copy_(found["ring_out"])
        return found

    def _capture(self) -> None:
        """Record the tick; from then on it is one launch."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = self._step()

    def _host(self, port: tuple[str, tuple[int, ...]]) -> Tensor:
        """A tensor in main memory that a GPU can copy from and to while the CPU goes on."""
        dtype, shape = port
        return torch.zeros(shape, dtype=getattr(torch, dtype), pin_memory=self._cuda)


def _tick(bundle: Bundle) -> TickGraph:
    spec, sizes = bundle.manifest.spec, bundle.manifest.model
    model = QTransformer(spec, config.build(ModelConfig, sizes, f"{bundle.folder}: model"))
    model.load_state_dict(safetensors.torch.load(bundle.graphs[WEIGHTS]))
    return TickGraph(inference(model), spec).eval().requires_grad_(False)
