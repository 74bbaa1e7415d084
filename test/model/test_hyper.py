"""Hyper-connections begin as the plain residual connections, then learn their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import SMALL, small_spec

from qtx_ros.errors import QtxError
from qtx_ros.model.hyper import HyperConnection
from qtx_ros.model.policy import QTransformer

DEEP = replace(SMALL, temporal_layers=2, decoder_layers=2)


def pair(streams: int, decoder: str = "cross") -> tuple[QTransformer, QTransformer]:
    """A plain network, and one with streams and the same other weights."""
    torch.manual_seed(0)
    configs = (replace(DEEP, decoder=decoder, hyper_streams=n) for n in (0, streams))
    plain, hyper = (QTransformer(small_spec(), config).eval() for config in configs)
    missing, unknown = hyper.load_state_dict(plain.state_dict(), strict=False)
    assert not unknown and missing and all(".connections." in name for name in missing)
    return plain, hyper


@pytest.mark.parametrize(("streams", "decoder"), [(2, "cross"), (3, "cross"), (2, "concat")])
def test_at_first_they_are_the_plain_residual_network(streams, decoder):
    plain, hyper = pair(streams, decoder)
    ring, bins = torch.randn(4, *plain.ring_shape), torch.tensor([[1, 2, 0]] * 4)
    found = [model.q_values(model.context(ring), bins) for model in (plain, hyper)]
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    assert hyper.decode(hyper.context(ring))[0].equal(plain.decode(plain.context(ring))[0])


def test_weights_depend_on_the_token_once_learned():
    connection, x = HyperConnection(8, 2, 0), torch.randn(1, 3, 2, 8)
    with torch.no_grad():
        connection.mix_by_token.normal_()
        connection.scales.fill_(1.0)
    branch, add = connection(x)
    assert branch.shape == (1, 3, 8) and add(branch).shape == x.shape
    share = branch / x[:, :, 0]
    assert not torch.allclose(share[0, 0], share[0, 1], atol=1e-3)


@pytest.mark.parametrize("decoder", ["cross", "concat"])
def test_decoding_keeps_keys_and_values_of_streams_that_learned(decoder):
    _, model = pair(2, decoder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".connections." in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    context = model.context(torch.randn(4, *model.ring_shape))
    bins, _, q_all = model.decode(context)
    torch.testing.assert_close(model.q_values(context, bins), q_all, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_connection():
    _, model = pair(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("by_token"):
                parameter.normal_()
    q = model.q_values(model.context(torch.randn(4, *model.ring_shape)), torch.tensor([[1, 2, 0]] * 4))
    q[q.isfinite()].square().sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if ".connections." in name}
    assert found and [name for name, gradient in found.items() if gradient is None or not gradient.any()] == []


def test_one_stream_is_no_hyper_connection():
    with pytest.raises(QtxError, match="hyper_streams is 1, expected 0 or at least 2"):
        replace(SMALL, hyper_streams=1)
