"""ONNX graphs in fewer bits; their inputs and outputs keep their types."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qtx_ros.learn.quiet import quiet

PRECISIONS = ("fp32", "fp16", "bf16", "int8")

Feed = dict[str, np.ndarray]


def lower(path: Path, precision: str, feeds: Iterable[Feed]) -> None:
    """Replace the float32 graph at `path` by one of `precision`; int8 is calibrated on `feeds`, inputs of the graph.

    bf16 leaves the graph: ONNX's convolutions know no bf16, so it is TensorRT or PyTorch that rounds.
    """
    if precision == "int8":
        _quantise(path, feeds)
    elif precision == "fp16":
        onnx.save(halved(onnx.load(path)), str(path))


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with float16 weights and arithmetic, and casts at its float32 inputs and outputs."""
    graph, kind = model.graph, TensorProto.FLOAT16
    constants = [*graph.initializer, *(a.t for n in graph.node for a in n.attribute if a.type == a.TENSOR)]
    for tensor in constants:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(_converted(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = kind
    ends = [_casts(graph, ports, kind) for ports in (graph.input, graph.output)]
    nodes = [*ends[0], *graph.node, *ends[1]]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


def _converted(tensor: TensorProto) -> TensorProto:
    with np.errstate(over="ignore"):
        values = numpy_helper.to_array(tensor).astype(np.float16)
    return numpy_helper.from_array(values, tensor.name)


def _casts(graph: onnx.GraphProto, ports: Iterable[onnx.ValueInfoProto], kind: int) -> list[onnx.NodeProto]:
    """Casts between float32 ports and the graph, whose own values get other names."""
    casts = []
    for port in ports:
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            inside = f"{port.name}_low"
            for node in graph.node:
                for names in (node.input, node.output):
                    names[:] = [inside if name == port.name else name for name in names]
            is_input = any(port is other for other in graph.input)
            ends, to = ((port.name, inside), kind) if is_input else ((inside, port.name), TensorProto.FLOAT)
            casts.append(helper.make_node("Cast", [ends[0]], [ends[1]], to=to))
    return casts


def _quantise(path: Path, feeds: Iterable[Feed]) -> None:
    """Static quantisation of the convolutions: int8 weights per channel, uint8 activations.

    Matrix products stay: theirs are small, so int8 gains nothing there, and a decoder that decides dimension by
    dimension feels the rounding most.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, feeds: Iterator[Feed]) -> None:
            self._feeds = feeds

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(path),
            Reader(iter(feeds)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
