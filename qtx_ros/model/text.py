"""The instruction: hashed tokens, or the embedding of a frozen sentence encoder, → FiLM parameters or words to look up.

Trained with the policy, never downloaded. The empty instruction is the null condition of guidance: tokens 0, or an
embedding of zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qtx_ros.model.transformer import Attention, Mlp

WORDS = 16  # tokens of an instruction that attention looks at, the first ones: words come before trigrams
EPSILON = 1e-6  # under the root of a mean square
ABSENT = -1e4  # added to the logits of words that are not there; float16 holds it


class TextEncoder(nn.Module):
    """Mean of the token embeddings (token 0 is padding), then a small MLP."""

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets, width, padding_idx=0)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Embedding of an instruction, float [B, E] from int64 [B, L]; an empty text is the mean of no token, zero."""
        present = (tokens != 0).to(self.embedding.weight.dtype)[..., None]  # [B, L, 1]
        total = (self.embedding(tokens) * present).sum(1)  # [B, E]
        return self.mlp(total / torch.clamp(present.sum(1), min=1))


class SentenceProjection(nn.Module):
    """What a frozen encoder made of the sentence, scaled to a mean square of 1, and a small MLP."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, embedding: Tensor) -> Tensor:
        """Embedding of an instruction, float [B, E] from the frozen one, float [B, size]."""
        return self.mlp(embedding / torch.sqrt(embedding.square().mean(-1, keepdim=True) + EPSILON))


class Words(nn.Module):
    """The first tokens of an instruction one by one, each with its place."""

    count = WORDS

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets, width, padding_idx=0)
        self.position = nn.Parameter(torch.randn(WORDS, width) * 0.1)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Words [B, 16, E] of int64 [B, L], and which of them are there, bool [B, 16]."""
        tokens = tokens[:, :WORDS]
        return self.mlp(self.embedding(tokens) + self.position), tokens != 0


class SentenceWord(SentenceProjection):
    """The whole sentence as one word."""

    count = 1

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Words [B, 1, E] of a frozen embedding, float [B, size]; nothing is there where it is zero."""
        return super().forward(embedding)[:, None], (embedding != 0).any(-1, keepdim=True)


class TextAttention(nn.Module):
    """Each token of a tick looks up the words of the instruction, before it goes into the ring.

    A learned word is always there, so that an empty instruction leaves something to look at.
    """

    def __init__(self, words: int, text_width: int, width: int, heads: int, mlp_factor: int) -> None:
        super().__init__()
        self.words, self.width, self.heads = words + 1, width, heads
        self.nothing = nn.Parameter(torch.randn(text_width) * 0.3)
        self.to_token = nn.Linear(text_width, width)
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp, self.mlp = nn.LayerNorm(width), Mlp(width, mlp_factor)

    @property
    def feature_size(self) -> int:
        """F: a key and a value of each word, and what its absence adds."""
        return self.words * (2 * self.width + 1)

    def features(self, words: Tensor, present: Tensor) -> Tensor:
        """Keys and values [B, F] of words [B, N, E], of which those of bool [B, N] are there."""
        nothing = self.nothing.expand(len(words), 1, -1)
        keys, values = self.attention.keys_values(self.to_token(torch.cat([nothing, words], 1)))  # [B, h, N + 1, W / h]
        absent = nn.functional.pad((~present).to(words.dtype) * ABSENT, (1, 0))  # [B, N + 1]
        return torch.cat([keys.flatten(1), values.flatten(1), absent], 1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """[B, K, W] from tokens [B, K, W] and features [B, F]; no token sees another one."""
        size = self.words * self.width
        keys, values, absent = features.split([size, size, self.words], 1)
        shape = (self.heads, self.words, self.width // self.heads)
        given = keys.unflatten(1, shape), values.unflatten(1, shape)
        x = x + self.attention(self.norm_attention(x), given, mask=absent[:, None, None])
        return x + self.mlp(self.norm_mlp(x))
