"""A bundle for any robot, small enough to reason about: brightness over the ring and the instruction pick the bins.

With x = (mean of the ring + first feature) / 2 in [0, 1], each dimension takes the bin nearest to share x of its range.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from qtx_ros.deploy.bundle import ACT, FRAME, INSTRUCTION, TICK, Manifest, write_bundle_manifest
from qtx_ros.preprocess import TEXT_BUCKETS, TEXT_LENGTH, bin_values, text_tokens
from qtx_ros.spec import Spec

HEADER = '<ir_version: 10, opset_import: ["": 20]>'

TICK_GRAPH = """tick (uint8[{C},{H},{W},3] frames, float[{S}] state, float[{T},1,1] ring, bool[1] first,
        float[1,{F}] features)
      => (int64[{D}] bins, float[{D}] values, float[{D}] q, float[{D},{B}] q_all, float[{T},1,1] ring_out)
   <float white = {{255.0}}, float two = {{2.0}}, float none = {{-inf}}, float one = {{1.0}},
    int64[1] i0 = {{0}}, int64[1] i1 = {{1}}, int64[1] end = {{{T}}}, int64[3] repeats = {{{T}, 1, 1}}> {{
    pixels = Cast <to = 1> (frames)
    brightness = ReduceMean <keepdims = 0> (pixels)
    share = Div (brightness, white)
    cube = Reshape (share, cube_shape)
    filled = Expand (cube, repeats)
    grown = Concat <axis = 0> (ring, cube)
    one_more = Add (end, i1)
    shifted = Slice (grown, i1, one_more, i0)
    ring_out = Where (first, filled, shifted)
    memory = ReduceMean <keepdims = 0> (ring_out)
    feature = Slice (features, i0, i1, i1)
    word = Squeeze (feature)
    sum = Add (memory, word)
    x = Div (sum, two)
    distance = Sub (grid, x)
    far = Abs (distance)
    near = Sub (one, far)
    q_all = Where (present, near, none)
    bins = ArgMax <axis = 1, keepdims = 0> (q_all)
    q = ReduceMax <keepdims = 0> (q_all, i1)
    column = Unsqueeze (bins, i1)
    chosen = GatherElements <axis = 1> (table, column)
    values = Squeeze (chosen, i1)
}}"""

FRAME_GRAPH = """frame (uint8[{H},{W},3] frame, float[1,{F}] features) => (float[1,1] tokens)
   <float white = {{255.0}}, int64[2] shape = {{1, 1}}> {{
    pixels = Cast <to = 1> (frame)
    brightness = ReduceMean <keepdims = 0> (pixels)
    share = Div (brightness, white)
    tokens = Reshape (share, shape)
}}"""

TEXT_GRAPH = """text (int64[1,{L}] tokens) => (float[1,{F}] features)
   <float buckets = {{{buckets}.0}}, int64[1] i0 = {{0}}, int64[1] end = {{{F}}}, int64[1] axis = {{1}}> {{
    few = Slice (tokens, i0, end, axis)
    numbers = Cast <to = 1> (few)
    features = Div (numbers, buckets)
}}"""

FEATURES = 2


def write_tiny_bundle(folder: Path, spec: Spec, name: str = "tiny", split: bool = False) -> Path:
    """Write a bundle for `spec` and return its folder; `split`: one camera, pictures seen before."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(tick_graph(spec), folder / TICK)
    if split:
        camera = spec.cameras[0]
        onnx.save(_parse(FRAME_GRAPH, H=camera.height, W=camera.width, F=FEATURES), folder / FRAME)
        onnx.save(tick_graph(spec, _act_text()), folder / ACT)
    onnx.save(_parse(TEXT_GRAPH, L=TEXT_LENGTH, F=FEATURES, buckets=TEXT_BUCKETS), folder / INSTRUCTION)
    ring = (spec.history, 1, 1)
    write_bundle_manifest(folder, Manifest(name=name, spec=spec, ring=ring, features=FEATURES, picture=int(split)))
    return folder


def _act_text() -> str:
    """`TICK_GRAPH` from the brightness on."""
    head, body = TICK_GRAPH.split("    pixels")
    cube = "    cube = Reshape (tokens_0, cube_shape)\n"
    return head.replace("uint8[{C},{H},{W},3] frames", "float[1,1] tokens_0") + cube + body.split("cube_shape)\n")[1]


def tick_graph(spec: Spec, text: str = TICK_GRAPH) -> onnx.ModelProto:
    widest = max(d.bins for d in spec.dimensions)
    sizes = {"C": len(spec.cameras), "S": len(spec.state_names)}
    if spec.cameras:
        sizes |= {"H": spec.cameras[0].height, "W": spec.cameras[0].width}
    else:  # 255 times the mean of the state is as good as brightness
        text = text.replace("uint8[{C},{H},{W},3] frames, ", "").replace("Cast <to = 1> (frames)", "Mul (state, white)")
    model = _parse(text, **sizes, T=spec.history, D=len(spec.dimensions), B=widest, F=FEATURES)
    constants = {"grid": _grid(spec, widest), "present": _present(spec, widest), "table": _table(spec, widest)}
    constants["cube_shape"] = np.array([1, 1, 1], np.int64)
    model.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in constants.items())
    onnx.checker.check_model(model)
    return model


def expected_bins(spec: Spec, brightness: list[float], instruction: str) -> np.ndarray:
    """Bins after frames of the given brightness [0, 255] (oldest first), int64 [D]."""
    seen = ([brightness[0]] * spec.history + list(brightness))[-spec.history :]
    word = text_tokens(instruction)[0] / TEXT_BUCKETS
    x = np.float32((np.mean(seen) / 255 + word) / 2)
    widest = max(d.bins for d in spec.dimensions)
    return np.where(_present(spec, widest), -np.abs(_grid(spec, widest) - x), -np.inf).argmax(1)


def _parse(text: str, **values: int) -> onnx.ModelProto:
    return parser.parse_model(HEADER + text.format(**values))


def _present(spec: Spec, widest: int) -> np.ndarray:
    return np.array([[b < d.bins for b in range(widest)] for d in spec.dimensions])


def _grid(spec: Spec, widest: int) -> np.ndarray:
    return np.array([[b / (d.bins - 1) for b in range(widest)] for d in spec.dimensions], np.float32)


def _table(spec: Spec, widest: int) -> np.ndarray:
    return np.stack([np.pad(bin_values(d), (0, widest - d.bins)) for d in spec.dimensions]).astype(np.float32)
