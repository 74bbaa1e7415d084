"""How the instruction reaches the network: FiLM, attention to its words, or not at all; hashed or a frozen sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.policy import QTransformer
from qtx_ros.preprocess import text_tokens


def build(spec=None, **changes) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(spec or small_spec(cameras=2), replace(SMALL, **changes)).eval()


def tokens(text: str):
    return torch.tensor(text_tokens(text)[None])


def observation():
    return torch.randint(0, 256, (1, 2, 16, 16, 3), dtype=torch.uint8), torch.randn(1, 2)


def seen(model, instruction, frames, state):
    return model.encode(frames, state, model.instruct(instruction))


@pytest.mark.parametrize("text", ["film", "cross"])
def test_every_token_of_a_tick_depends_on_the_instruction(text):
    model, inputs = build(text=text), observation()
    with torch.no_grad():
        changed = seen(model, tokens("open it"), *inputs) - seen(model, tokens("close it"), *inputs)
    assert (changed.abs().amax(-1) > 1e-5).all()


def test_the_order_of_words_matters_to_attention():
    model, inputs = build(text="cross"), observation()
    ab, ba = (tokens("a b")[:, :2].flip(1) if turned else tokens("a b")[:, :2] for turned in (False, True))
    pad = torch.zeros(1, 62, dtype=torch.int64)
    found = [seen(model, torch.cat([part, pad], 1), *inputs) for part in (ab, ba)]
    assert not torch.allclose(*found, atol=1e-5)


def test_padding_is_no_word():
    model = build(text="cross")
    with torch.no_grad():
        short = seen(model, tokens("go"), *(inputs := observation()))
        model.text.position[6:] += 1  # "go" is a word and two trigrams
        assert seen(model, tokens("go"), *inputs).equal(short)


def test_without_text_nothing_of_the_instruction_is_seen():
    model, inputs = build(text="none"), observation()
    assert model.feature_size == 1 and not model.text and not model.film
    assert seen(model, tokens("open it"), *inputs).equal(seen(model, tokens(""), *inputs))


@pytest.mark.parametrize("text", ["film", "cross", "none"])
def test_pictures_and_state_encoded_apart_are_the_tokens_of_the_tick(text):
    model, (frames, state) = build(text=text), observation()
    features = model.instruct(tokens("open it"))
    assert features.shape == (1, model.feature_size)
    apart = model.join(model.look(frames, features), state, features)
    torch.testing.assert_close(apart, model.encode(frames, state, features))


@pytest.mark.parametrize("text", ["film", "cross"])
def test_a_sentence_embedding_stands_for_the_instruction(text):
    model, inputs = build(text=text, text_encoder="folder", text_size=6), observation()
    a, b, nothing = torch.randn(1, 6), torch.randn(1, 6), torch.zeros(1, 6)
    found = [seen(model, embedding, *inputs) for embedding in (a, b, nothing)]
    assert not torch.allclose(found[0], found[1], atol=1e-4) and not torch.allclose(found[0], found[2], atol=1e-4)


@pytest.mark.parametrize("text", ["film", "cross"])
def test_gradients_reach_every_parameter_of_the_text(text):
    model, inputs = build(text=text), observation()
    model.train()
    seen(model, tokens("open the drawer"), *inputs).square().sum().backward()
    parts = [part for part in (model.text, model.film, model.words) if part is not None]
    assert [n for part in parts for n, p in part.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text": "bert"}, "text is 'bert', expected one of film, cross, none"),
        ({"text": "none", "guidance": 2.0}, "guidance and text_encoder mean nothing with text none"),
        ({"text_size": 8}, "text_size is 8, expected 0 without a frozen text_encoder"),
        ({"text_encoder": "folder"}, "text_encoder 'folder' needs text_size"),
    ],
)
def test_a_wrong_setting_is_named(changes, sentence):
    with pytest.raises(QtxError, match=sentence):
        build(**changes)
