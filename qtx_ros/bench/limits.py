"""The least a tick can take on a device: to launch the nodes of its graph, and to move its bytes. Both are measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from qtx_ros.deploy.bundle import TICK, Bundle, Ports
from qtx_ros.deploy.session import Buffer, Session, bind, providers, session_options

CHAIN = 257  # nodes of the longer of two graphs that do nothing; the shorter has one
STREAM = 2**24  # float32 numbers that the graph which measures bandwidth reads, and writes
RUNS = 20


@dataclass(frozen=True)
class Limits:
    """What a tick's graph holds, and what its device does."""

    nodes: int  # of the graph as ONNX Runtime runs it
    bytes: int  # weights, inputs and outputs, each moved once
    launch_us: float  # of a node that computes next to nothing [µs]
    bandwidth: float  # of main memory, or of the device's [B/s]

    @property
    def launch_ms(self) -> float:
        """All nodes launched [ms]."""
        return self.nodes * self.launch_us / 1e3

    @property
    def bandwidth_ms(self) -> float:
        """All bytes moved [ms]."""
        return self.bytes / self.bandwidth * 1e3

    def fraction(self, ms: float) -> float:
        """The larger of both limits, as a share of a measured tick [ms]; 1 is as fast as can be."""
        return max(self.launch_ms, self.bandwidth_ms) / ms

    def lines(self, p50: float) -> list[str]:
        """For people, beside a tick's median [ms]."""
        return [
            f"launch-bound limit     {self.launch_ms:8.3f} ms: {self.nodes} nodes of {self.launch_us:.2f} µs",
            f"bandwidth-bound limit  {self.bandwidth_ms:8.3f} ms: {self.bytes / 1e6:.2f} MB at "
            f"{self.bandwidth / 1e9:.1f} GB/s",
            f"the one graph's p50 of {p50:.3f} ms reaches {self.fraction(p50):.0%} of the larger one",
        ]

    def to_dict(self) -> dict:
        return asdict(self) | {"launch_ms": self.launch_ms, "bandwidth_ms": self.bandwidth_ms}


def limits(bundle: Bundle, device: str, threads: int) -> Limits:
    """Those of `tick.onnx` on `device` (cpu, cuda, tensorrt). DeviceError where that does not start."""
    nodes, weights = _optimised(bundle.graphs[TICK], device, threads)
    ports = [*bundle.manifest.tick_inputs().values(), *bundle.manifest.tick_outputs().values()]
    moved = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in ports)
    return Limits(nodes, weights + moved, launch_us(device, threads), bandwidth(device, threads))


def launch_us(device: str, threads: int) -> float:
    """Time of one more node that adds two numbers [µs]; in a CUDA graph where the policy uses one."""
    long, short = (_seconds(_runner(_chain(n, 1), (1,), device, threads)) for n in (CHAIN, 1))
    return max(long - short, 0.0) / (CHAIN - 1) * 1e6


def bandwidth(device: str, threads: int) -> float:
    """Bytes that a node reads and writes per second [B/s], of tensors larger than the caches."""
    return 2 * 4 * STREAM / _seconds(_runner(_chain(1, STREAM), (STREAM,), device, threads))


def _optimised(graph: bytes, device: str, threads: int) -> tuple[int, int]:
    """Nodes and bytes of weights of a graph after ONNX Runtime's own optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(graph, options, providers=providers(device))
        model = onnx.load(options.optimized_model_filepath)
    weights = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)
    return len(model.graph.node), weights


def _chain(count: int, size: int) -> bytes:
    """A graph of `count` additions one after the other, from x to y, float32 [size]."""
    names = ["x", *(f"x{i}" for i in range(1, count)), "y"]
    nodes = [helper.make_node("Add", [a, a], [b]) for a, b in zip(names, names[1:], strict=False)]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def _runner(graph: bytes, shape: tuple[int, ...], device: str, threads: int) -> Callable[[], None]:
    """Runs a graph from x to y on fixed buffers of the device."""
    port: Ports = {"x": ("float32", shape)}
    session = Session(graph, "a graph of additions", device, threads, port, {"y": port["x"]}, capture=device != "cpu")
    binding = bind(session, {"x": Buffer(port["x"], device)}, {"y": Buffer(port["x"], device)})
    return lambda: session.session.run_with_iobinding(binding)


def _seconds(run: Callable[[], None]) -> float:
    """Median of some runs [s], after as many that do not count."""
    times = []
    for _ in range(2 * RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times[RUNS:]))
