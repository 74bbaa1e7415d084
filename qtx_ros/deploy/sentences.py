"""A frozen sentence encoder: instruction → embedding, by a tokeniser and a graph that travel in the bundle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime

from qtx_ros.deploy.bundle import SENTENCE, TOKENIZER, Bundle
from qtx_ros.deploy.session import one_line, session_options
from qtx_ros.deploy.wordpiece import WordPiece
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import text_tokens

LONGEST = 64  # tokens of an instruction
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def text_reader(bundle: Bundle) -> Callable[[str], np.ndarray]:
    """What turns an instruction into the input of `instruction.onnx`: hashed tokens int64 [L], or float32 [E]."""
    if SENTENCE not in bundle.graphs:
        return text_tokens
    return SentenceEncoder(bundle.graphs[SENTENCE], bundle.graphs[TOKENIZER], str(bundle.folder))


class SentenceEncoder:
    """Called with an instruction it gives float32 [E]; an empty one gives zeros, the null condition of guidance.

    The graph takes int64 [1, N] `input_ids` and, if it likes, `attention_mask` and `token_type_ids`. Its output
    `sentence_embedding` [1, E] is taken, or the mean of its first output [1, N, E] over the tokens, normalised.
    """

    def __init__(self, graph: bytes, tokenizer: bytes, where: str) -> None:
        """`where` names both in errors; QtxError for a graph of other inputs or a tokeniser of another kind."""
        try:
            self._session = onnxruntime.InferenceSession(graph, session_options(1), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            raise QtxError(f"the sentence encoder of {where} does not load: {one_line(error)}") from None
        ports = {port.name: port.shape for port in self._session.get_inputs()}
        if "input_ids" not in ports or not ports.keys() <= set(INPUTS):
            raise QtxError(f"the sentence encoder of {where} takes {', '.join(ports)}, expected {', '.join(INPUTS)}")
        length = ports["input_ids"][1]
        self._fixed = length if isinstance(length, int) else 0
        self._tokens = WordPiece(tokenizer, f"the tokenizer.json of {where}", self._fixed or LONGEST)
        self._inputs, self._outputs = list(ports), [port.name for port in self._session.get_outputs()]
        self._empty = np.zeros_like(self._embed("a"))

    @property
    def size(self) -> int:
        """E."""
        return len(self._empty)

    def __call__(self, text: str) -> np.ndarray:
        """The embedding of an instruction, float32 [E]."""
        return self._embed(text) if text.strip() else self._empty.copy()

    def _embed(self, text: str) -> np.ndarray:
        tokens = self._tokens(text)
        count, length = len(tokens), self._fixed or len(tokens)
        given = dict.fromkeys(self._inputs, np.zeros((1, length), np.int64))
        given["input_ids"] = np.array([tokens + [0] * (length - count)], np.int64)
        if "attention_mask" in given:
            given["attention_mask"] = (np.arange(length)[None] < count).astype(np.int64)
        name = "sentence_embedding" if "sentence_embedding" in self._outputs else self._outputs[0]
        found = self._session.run([name], given)[0][0].astype(np.float32)
        if found.ndim == 1:
            return found
        mean = found[:count].mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-9)
