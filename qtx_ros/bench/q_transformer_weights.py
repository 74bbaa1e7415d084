"""The image encoder of q-transformer 0.5.0 in ours, weight by weight: shows that they are the same architecture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from qtx_ros.model.maxvit import MaxViTEncoder

CONV = {  # of MBConv: number in the peer's block → name here
    "0": "expand", "1": "norm_expand", "3": "depthwise", "4": "norm_depthwise", "6.gate.1": "excite.down",
    "6.gate.3": "excite.up", "7": "project", "8": "norm_project",
}  # fmt: skip
ATTENTION = {"norm": "norm", "to_v_gates.0": "gates", "to_out.0": "out"}
MLP = {"norm": "0", "net.0": "1", "net.3": "3"}


@torch.no_grad()
def load_weights(encoder: MaxViTEncoder, saved: Mapping[str, np.ndarray]) -> float:
    """Take the peer's weights; the largest difference of tokens on its frames, as a share of its largest token."""
    theirs = {name: torch.from_numpy(saved[name]) for name in saved}
    own = {name: value for name, value in encoder.state_dict().items() if name.startswith(("state_", "pixel_"))}
    encoder.load_state_dict(own | translate(theirs, encoder))
    x = encoder.stem(theirs["frames"]).permute(0, 2, 3, 1)
    for block, (channels, _) in zip(encoder.blocks, encoder.config.stages, strict=True):
        x = block(x, *torch.zeros(2, len(x), channels))  # the peer's FiLM starts as no change
    tokens = encoder.learner(x).transpose(1, 2)
    return float((tokens - theirs["tokens"]).abs().max() / theirs["tokens"].abs().max())


def translate(theirs: dict[str, Tensor], encoder: MaxViTEncoder) -> dict[str, Tensor]:
    """The state of `encoder` that computes what the peer's weights do."""
    ours = {f"stem.{i}.{kind}": theirs[f"vit.conv_stem.{i}.{kind}"] for i in (0, 1) for kind in ("weight", "bias")}
    for i, block in enumerate(encoder.blocks):
        layer, fn = f"vit.layers.{i}", ".fn" if block.conv.residual else ""
        ours |= _renamed(theirs, f"{layer}.0{fn}", f"blocks.{i}.conv", CONV)
        for k, (attention, mlp) in enumerate(((2, 3), (6, 7))):
            name = f"blocks.{i}.attentions.{k}"
            ours |= _renamed(theirs, f"{layer}.{attention}.fn", name, ATTENTION)
            ours |= _renamed(theirs, f"{layer}.{mlp}.fn", f"blocks.{i}.mlps.{k}", MLP)
            query, key, value = theirs[f"{layer}.{attention}.fn.to_qkv.weight"].chunk(3)
            query, key = (_halves(x, encoder.config.head_width) for x in (query, key))
            ours |= {f"{name}.query.weight": query, f"{name}.key.weight": key, f"{name}.value.weight": value}
    hidden, weight = (theirs[f"token_learner.net.{i}.weight"][:, :, 0, 0] for i in (0, 2))
    ours |= {"learner.hidden.weight": hidden, "learner.hidden.bias": theirs["token_learner.net.0.bias"]}
    return ours | {"learner.weight": weight, "learner.bias": theirs["token_learner.net.2.bias"]}


def _renamed(theirs: dict[str, Tensor], source: str, target: str, names: dict[str, str]) -> dict[str, Tensor]:
    """Weights, biases, and norms, which the peer stores as what is added to 1."""
    found = {}
    for old, new in names.items():
        for kind in ("weight", "bias"):
            if f"{source}.{old}.{kind}" in theirs:
                value = theirs[f"{source}.{old}.{kind}"]
                found[f"{target}.{new}.{kind}"] = value[:, :, 0, 0] if value.shape[2:] == (1, 1) else value
        if f"{source}.{old}.gamma" in theirs:
            found[f"{target}.{new}.weight"] = 1 + theirs[f"{source}.{old}.gamma"].flatten()
    return found


def _halves(weight: Tensor, width: int) -> Tensor:
    """Rows of queries or keys [heads · width, C] with the pairs (2i, 2i + 1) as (i, i + width / 2)."""
    pairs = weight.unflatten(0, (-1, width // 2, 2))  # [heads, width / 2, 2, C]
    return pairs.transpose(1, 2).flatten(0, 2)
