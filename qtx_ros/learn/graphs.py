"""The network as ONNX graphs: one per instruction, one per tick; and a tick cut into steps."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from qtx_ros.data.frames import frame_shape
from qtx_ros.learn.quiet import quiet
from qtx_ros.model.policy import QTransformer
from qtx_ros.preprocess import TEXT_LENGTH, bin_values
from qtx_ros.spec import Spec

OPSET = 20
INPUTS = ("frames", "state", "ring", "first", "features")  # of a tick; without cameras there are no frames
Example = dict[str, Tensor]


class InstructionGraph(nn.Module):
    """tokens int64 [1, L] → features [1, F]."""

    inputs, outputs = ("tokens",), ("features",)

    def __init__(self, model: QTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.instruct(tokens)


class RingGraph(nn.Module):
    """One tick up to the ring: the newest frame's tokens pushed into the last T frames' tokens."""

    def __init__(self, model: QTransformer) -> None:
        super().__init__()
        self.model = model

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what `forward` takes."""
        return INPUTS if self.model.cameras else INPUTS[1:]

    def forward(self, *tensors: Tensor) -> Tensor:
        """Ring [T, K, W] from frames uint8 [C, H, W, 3], state [S], ring [T, K, W], first bool [1], features [1, F]."""
        *frames, state, ring, first, features = tensors
        seen = frames[0][None] if frames else torch.zeros(1, 0, 1, 1, 3, dtype=torch.uint8, device=state.device)
        return self.push(self.model.encode(seen, state[None], features), ring, first)

    def push(self, newest: Tensor, ring: Tensor, first: Tensor) -> Tensor:
        """Ring [T, K, W] with the newest frame's tokens [1, K, W] last; the first frame fills it."""
        return self.model.push(newest, ring[None], first)[0]


class TickGraph(RingGraph):
    """One tick of the policy: everything from uint8 frames to action values, decoding unrolled."""

    outputs = ("bins", "values", "q", "q_all", "ring_out")

    def __init__(self, model: QTransformer, spec: Spec) -> None:
        super().__init__(model)
        table = torch.zeros(len(spec.dimensions), max(d.bins for d in spec.dimensions))
        for row, dimension in zip(table, spec.dimensions, strict=True):
            row[: dimension.bins] = torch.tensor(bin_values(dimension))
        self.register_buffer("bin_values", table)  # [D, M]

    def forward(self, *tensors: Tensor) -> tuple:
        return self.choose(super().forward(*tensors), tensors[-4])

    def choose(self, ring: Tensor, state: Tensor) -> tuple:
        """Bins, values, q, q_all and the ring that remembers them, from the ring [T, K, W] and the state [S]."""
        bins, q, q_all = self.model.decode(self.model.context(ring[None]))
        ring_out = self.model.store(ring[None], state[None], bins)[0]
        values = self.bin_values.gather(1, bins[0, :, None])[:, 0]  # [D]
        return bins[0], values, q[0], q_all[0], ring_out


class FrameGraph(nn.Module):
    """The picture of one camera → its tokens, before anybody knows the state of the tick it will belong to."""

    inputs, outputs = ("frame", "features"), ("tokens",)

    def __init__(self, model: QTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Tensor, features: Tensor) -> Tensor:
        """Tokens [N · P, W] of a frame uint8 [H, W, 3], under each of N conditions."""
        return self.model.look(frame[None, None], features)[0]


class ActGraph(TickGraph):
    """One tick whose pictures were encoded before: `TickGraph` with the tokens of each camera instead of its frame."""

    outputs = TickGraph.outputs

    def __init__(self, model: QTransformer, spec: Spec) -> None:
        super().__init__(model, spec)
        self.cameras = len(spec.cameras)

    @property
    def inputs(self) -> tuple[str, ...]:
        """tokens_0 … tokens_{C − 1}, then what `TickGraph` takes beside frames."""
        return (*(f"tokens_{i}" for i in range(self.cameras)), *INPUTS[1:])

    def forward(self, *tensors: Tensor) -> tuple:
        parts, (state, ring, first, features) = tensors[: self.cameras], tensors[self.cameras :]
        parts = [part.unflatten(0, (self.model.conditions, -1)) for part in parts]  # [N, P, W] each
        pictures = torch.cat(parts, 1).flatten(0, 1)[None]  # [1, N · C · P, W]
        return self.choose(self.push(self.model.join(pictures, state[None], features), ring, first), state)


class ContextGraph(RingGraph):
    """One tick up to the decoder: the ring, and the keys and values of the context in every decoder block."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """ring_out, the decoder's start token, then key and value per block."""
        return ("ring_out", "start", *_names("context", len(self.model.decoder.blocks)))

    def forward(self, *tensors: Tensor) -> tuple:
        ring_out = super().forward(*tensors)
        context = self.model.context(ring_out[None])
        pairs = self.model.decoder.given(context)
        return ring_out, self.model.decoder.start_token(context), *(tensor for pair in pairs for tensor in pair)


class StepGraph(nn.Module):
    """The decoding step of one action dimension: the bin before it, kept keys and values → its bin and Q."""

    def __init__(self, model: QTransformer, index: int) -> None:
        super().__init__()
        self.decoder, self.index = model.decoder, index

    @property
    def inputs(self) -> tuple[str, ...]:
        """Start token, keys and values of the context; after the first dimension the bin before and the past's."""
        count = len(self.decoder.blocks)
        before = ("previous", *_names("past", count)) if self.index else ()
        return ("start", *_names("context", count), *before)

    @property
    def outputs(self) -> tuple[str, ...]:
        """bin int64 [1], q [1, M], then the keys and values so far."""
        return ("bin", "q", *_names("kept", len(self.decoder.blocks)))

    def forward(self, *tensors: Tensor) -> tuple:
        count = 2 * len(self.decoder.blocks)
        token, context, rest = tensors[0], _pairs(tensors[1 : count + 1]), tensors[count + 1 :]
        past = _pairs(rest[1:]) if self.index else [None] * len(context)
        if self.index:
            token = token + self.decoder.embed(self.index - 1, rest[0])
        q, kept = self.decoder.step(token, self.index, past, context)
        return q.argmax(-1), q, *(tensor for pair in kept for tensor in pair)


def tick_example(model: QTransformer, spec: Spec) -> Example:
    """Inputs of `TickGraph`, each a tensor of its own: the exporter merges inputs that share one."""
    frames = {"frames": torch.randint(0, 256, frame_shape(spec), dtype=torch.uint8)} if spec.cameras else {}
    return frames | {
        "state": torch.randn(len(spec.state_names)),
        "ring": torch.randn(model.ring_shape),
        "first": torch.tensor([False]),
        "features": torch.randn(1, model.feature_size),
    }


def frame_example(model: QTransformer, spec: Spec) -> Example:
    """Inputs of `FrameGraph`."""
    tick = tick_example(model, spec)
    return {"frame": tick["frames"][0], "features": tick["features"]}


def act_example(model: QTransformer, spec: Spec) -> Example:
    """Inputs of `ActGraph`."""
    tokens = picture_tokens(model, spec), model.ring_shape[2]
    return tick_example(model, spec) | {f"tokens_{i}": torch.randn(tokens) for i in range(len(spec.cameras))}


def picture_tokens(model: QTransformer, spec: Spec) -> int:
    """N · P: tokens of one picture under all conditions; the state has one token under each."""
    return (model.tokens - model.conditions) // len(spec.cameras)


def instruction_example(model: QTransformer) -> Example:
    """Inputs of `InstructionGraph`."""
    size = model.config.text_size
    return {"tokens": torch.randn(1, size) if size else torch.arange(TEXT_LENGTH)[None]}


def step_examples(model: QTransformer) -> list[Example]:
    """Inputs of each `StepGraph`."""
    heads, width = model.config.heads, model.config.width // model.config.heads
    context = model.context_tokens
    examples = []
    for i in range(len(model.bins)):
        graph = StepGraph(model, i)
        lengths = {name: i if name.startswith("past") else context for name in graph.inputs}
        example = {name: torch.randn(1, heads, length, width) for name, length in lengths.items()}
        example["start"] = torch.randn(1, 1, model.config.width)
        examples.append({**example, **({"previous": torch.zeros(1, dtype=torch.int64)} if i else {})})
    return examples


def write_onnx(graph: nn.Module, example: Example, path: Path) -> None:
    """Export a graph with static shapes to one ONNX file, weights inside."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            tuple(example[name] for name in graph.inputs),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    onnx.save(_without_traces(program.model_proto), str(path))


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's stack traces, which name folders of the machine that exported."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    return model


def _names(what: str, blocks: int) -> tuple[str, ...]:
    return tuple(f"{what}_{part}_{i}" for i in range(blocks) for part in ("key", "value"))


def _pairs(tensors) -> list[tuple[Tensor, Tensor]]:
    return list(zip(tensors[::2], tensors[1::2], strict=True))
