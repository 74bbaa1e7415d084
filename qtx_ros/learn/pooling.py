"""How a sentence's tokens become one embedding: what sentence-transformers writes beside a network, and an ONNX graph
that pools by its first token."""

from __future__ import annotations

import json
from pathlib import Path

from qtx_ros.errors import QtxError

POOLING = "1_Pooling/config.json"
FIRST, MEAN = "pooling_mode_cls_token", "pooling_mode_mean_tokens"
EMBEDDING = "sentence_embedding"  # the output that sentence-transformers gives a graph that pools by itself


def takes_first(folder: Path) -> bool:
    """Whether the first token stands for the sentence; else it is the mean, as where nothing is said."""
    path = folder / POOLING
    try:
        pooling = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise QtxError(f"{path} is no JSON: {error}") from None
    modes = {name: value for name, value in pooling.items() if name.startswith("pooling_mode_")}
    asked = [name for name, value in modes.items() if value]
    if modes and asked not in ([FIRST], [MEAN]):
        found = " and ".join(asked) or "nothing"
        raise QtxError(
            f"{path} asks for {found}, expected {MEAN} or {FIRST}: give a model.onnx with the output {EMBEDDING}"
        )
    return asked == [FIRST]


def pooled(graph: bytes, folder: Path) -> bytes:
    """An ONNX graph that gives the sentence's embedding if its folder asks for the first token's; else as it is.

    The mean of token embeddings, [1, N, E], is taken by whoever reads them: `deploy.sentences`.
    """
    import onnx
    from onnx import TensorProto, helper

    if not (folder / POOLING).is_file():
        return graph
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # protobuf's own exceptions share no base class
        raise QtxError(f"the ONNX graph in {folder} does not load: {error}") from None
    outputs = model.graph.output
    if any(port.name == EMBEDDING for port in outputs) or not takes_first(folder):
        return graph
    model.graph.initializer.append(helper.make_tensor("qtx_first", TensorProto.INT64, [], [0]))
    model.graph.node.extend(
        [
            helper.make_node("Gather", [outputs[0].name, "qtx_first"], ["qtx_token"], axis=1),
            helper.make_node("Cast", ["qtx_token"], ["qtx_float"], to=TensorProto.FLOAT),
            helper.make_node("LpNormalization", ["qtx_float"], [EMBEDDING], axis=1, p=2),
        ]
    )
    outputs.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, [1, None]))
    return model.SerializeToString()
