"""Frozen sentence encoders on the training side: found by folder or package, never downloaded, copied into the bundle.

A folder holds `tokenizer.json` and either `model.onnx` (or `onnx/model.onnx`) or, as sentence-transformers writes it,
`config.json` and `model.safetensors` of a BERT.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from qtx_ros.deploy.bundle import SENTENCE, TOKENIZER
from qtx_ros.deploy.sentences import LONGEST, SentenceEncoder
from qtx_ros.errors import QtxError
from qtx_ros.learn.pooling import POOLING, pooled
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.config import ModelConfig
from qtx_ros.preprocess import text_tokens

GRAPHS = ("model.onnx", "onnx/model.onnx")
WEIGHTS = "model.safetensors"
SIZES = ("config.json", POOLING)  # what else `bert.read_bert` reads


def text_reader(config: ModelConfig) -> Callable[[str], np.ndarray]:
    """What turns an instruction into a network's input: hashed tokens int64 [L], or an embedding float32 [E]."""
    return text_tokens if config.text_encoder == "hashed" else open_encoder(config.text_encoder)


def with_text_size(config: TrainConfig) -> TrainConfig:
    """The configuration with the size of its frozen encoder's embedding; QtxError if it says another one."""
    model = config.model
    if model.text_encoder == "hashed":
        return config
    size = open_encoder(model.text_encoder).size
    if model.text_size not in (0, size):
        raise QtxError(f"model: text_size is {model.text_size}, the embedding of {model.text_encoder!r} has {size}")
    return replace(config, model=replace(model, text_size=size))


@lru_cache(maxsize=2)
def open_encoder(name: str) -> SentenceEncoder:
    """The encoder in a folder, or in an installed package of that name."""
    folder = find_encoder(name)
    return SentenceEncoder(_graph(folder), (folder / TOKENIZER).read_bytes(), str(folder))


def write_encoder(name: str, folder: Path) -> None:
    """Put `sentence.onnx` and `tokenizer.json` into the folder of a bundle."""
    source = find_encoder(name)
    (folder / SENTENCE).write_bytes(_graph(source))
    (folder / TOKENIZER).write_bytes((source / TOKENIZER).read_bytes())


def fingerprint(name: str) -> str:
    """SHA-256 of the files that an encoder is made of."""
    source = find_encoder(name)
    digest = hashlib.sha256()
    paths = source / TOKENIZER, *(source / name for name in SIZES)
    tokenizer, *sizes = (path.read_bytes() if path.is_file() else b"none" for path in paths)
    for content in (tokenizer, _network(source), *sizes):
        digest.update(content)
    return digest.hexdigest()


def check_encoder(name: str, was: str | None, run: Path) -> None:
    """QtxError if the encoder is not the one with the fingerprint `was` that the run began with."""
    if name != "hashed" and was not in (None, fingerprint(name)):
        raise QtxError(f"{run} was trained with another sentence encoder than {name!r} is now: put it back")


def find_encoder(name: str) -> Path:
    """Its folder; QtxError if neither a folder nor an installed package has one."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _package(name)
    found = next((path.parent for path in sorted(folder.rglob(TOKENIZER)) if _has_network(path.parent)), None)
    if found is None:
        raise QtxError(f"{folder} holds no sentence encoder, expected {TOKENIZER} and {', '.join(GRAPHS)} or {WEIGHTS}")
    return found


def _package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise QtxError(
            f"model: text_encoder is {name!r}, expected hashed, a folder, or an installed package that holds its model"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _has_network(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*GRAPHS, WEIGHTS))


def _file(folder: Path) -> Path:
    return next(folder / name for name in (*GRAPHS, WEIGHTS) if (folder / name).is_file())


def _network(folder: Path) -> bytes:
    """A BERT's weights, or the ONNX graph with the pooling that the folder asks for."""
    file = _file(folder)
    return file.read_bytes() if file.name == WEIGHTS else pooled(file.read_bytes(), folder)


@lru_cache(maxsize=2)
def _graph(folder: Path) -> bytes:
    """The ONNX graph of a folder; a BERT's weights become one."""
    if _file(folder).name != WEIGHTS:
        return _network(folder)
    import torch

    from qtx_ros.learn.bert import read_bert
    from qtx_ros.learn.graphs import write_onnx

    example = {"input_ids": torch.arange(LONGEST)[None], "attention_mask": torch.ones(1, LONGEST, dtype=torch.int64)}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / SENTENCE
        write_onnx(read_bert(folder), example, path)
        return path.read_bytes()
