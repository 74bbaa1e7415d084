"""A BERT, read from a folder as sentence-transformers writes it: frozen, only to become a graph of the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from qtx_ros.errors import QtxError
from qtx_ros.learn.pooling import takes_first


class Layer(nn.Module):
    """Post-norm transformer layer; names as in the files."""

    def __init__(self, width: int, heads: int, hidden: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.norm_attention = nn.Linear(width, width), nn.LayerNorm(width, epsilon)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm_mlp = nn.LayerNorm(width, epsilon)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, N, W] from [B, N, W]; mask bool [B, 1, 1, N]."""
        parts = (layer(x).unflatten(-1, (self.heads, -1)) for layer in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in parts), attn_mask=mask)
        x = self.norm_attention(x + self.out(y.transpose(1, 2).flatten(2)))
        return self.norm_mlp(x + self.down(F.gelu(self.up(x))))


PLACES = {  # ours → the file's
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "out": "attention.output.dense", "norm_attention": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "norm_mlp": "output.LayerNorm",
}  # fmt: skip


class Bert(nn.Module):
    """Tokens → the embedding of the sentence: mean over its tokens, or the first one's; normalised."""

    inputs, outputs = ("input_ids", "attention_mask"), ("sentence_embedding",)

    def __init__(self, config: dict, first: bool) -> None:
        super().__init__()
        width, epsilon = config["hidden_size"], config["layer_norm_eps"]
        self.first = first
        self.words = nn.Embedding(config["vocab_size"], width)
        self.places = nn.Embedding(config["max_position_embeddings"], width)
        self.kind, self.norm = nn.Embedding(config["type_vocab_size"], width), nn.LayerNorm(width, epsilon)
        sizes = width, config["num_attention_heads"], config["intermediate_size"], epsilon
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(config["num_hidden_layers"]))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[1, W] from int64 [1, N] each; the mask is 1 where there is a token."""
        count = input_ids.shape[1]
        x = self.norm(self.words(input_ids) + self.places.weight[:count] + self.kind.weight[0])
        for layer in self.layers:
            x = layer(x, (attention_mask != 0)[:, None, None])
        there = attention_mask[..., None].to(x.dtype)
        x = x[:, 0] if self.first else (x * there).sum(1) / there.sum(1)
        return x / torch.sqrt(x.square().sum(-1, keepdim=True))


def read_bert(folder: Path) -> Bert:
    """The BERT in a folder with config.json and model.safetensors; QtxError for another network."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise QtxError(f"cannot read the sentence encoder in {folder}: {error}") from None
    kind = config.get("model_type"), config.get("hidden_act"), config.get("position_embedding_type", "absolute")
    if kind != ("bert", "gelu", "absolute"):
        raise QtxError(
            f"the sentence encoder in {folder} is {', '.join(map(str, kind))}, expected bert, gelu, absolute: "
            "give a folder with model.onnx"
        )
    model = Bert(config, takes_first(folder))
    tensors = {name.removeprefix("bert."): tensor.float() for name, tensor in tensors.items()}
    try:
        model.load_state_dict({ours: tensors[theirs] for ours, theirs in _names(model).items()})
    except (KeyError, RuntimeError) as error:
        raise QtxError(f"the weights in {folder} are not those of its config.json: {error}") from None
    return model.eval().requires_grad_(False)


def _names(model: Bert) -> dict[str, str]:
    """Our names of the weights → those in the file."""
    embeddings = {"words": "word_embeddings", "places": "position_embeddings", "kind": "token_type_embeddings"}
    places = {**embeddings, "norm": "LayerNorm"}
    names = {}
    for name in model.state_dict():
        part, *rest = name.split(".")
        if part == "layers":
            names[name] = f"encoder.layer.{rest[0]}.{PLACES[rest[1]]}.{rest[2]}"
        else:
            names[name] = f"embeddings.{places[part]}.{rest[0]}"
    return names
