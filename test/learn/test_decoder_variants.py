"""Options of the decoder from training to the bundle: each is learned, exported and decides as in PyTorch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_run import SMALL, small_config, small_spec
from test_variants import trained_run

from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.learn import export
from qtx_ros.learn.torch_network import TorchNetwork
from qtx_ros.model.maxvit import MaxViTConfig

MAXVIT = MaxViTConfig(dim=4, depth=(1,), heads=1, head_width=4, window=2, expansion=1, tokens=2)
COMBINATIONS = {
    "coarse histograms, concatenated": (
        (5, 9, 3),
        {"code": "coarse", "code_base": 4, "atoms": 12, "dueling": True, "decoder": "concat"},
        {"loss": "hl_gauss", "consistency": 0.1, "smooth": 0.2},
    ),
    "predicted order, beam of twins": ((5, 7, 3), {"order": "predicted", "beam": 4, "critics": 2}, {}),
    "random order, tied, guided": ((5, 7), {"order": "random", "tie_bins": True, "guidance": 2.0}, {"text_drop": 0.2}),
    "single head": ((6,), {"decoder": "single"}, {}),
    "no text": ((5, 3), {"text": "none", "keypoints": 2}, {}),
    "streams and memory, concatenated, guided": (
        (4, 3),
        {"decoder": "concat", "decoder_layers": 2, "hyper_streams": 2, "memory": 2, "guidance": 1.5},
        {"text_drop": 0.2},
    ),
    "maxvit, words, guided, memory, predicted order": (
        (4, 3),
        {"encoder": "maxvit", "maxvit": MAXVIT, "text": "cross", "guidance": 2.0, "memory": 2, "order": "predicted"},
        {"text_drop": 0.2},
    ),
}


@pytest.mark.parametrize("bins, model, training", COMBINATIONS.values(), ids=COMBINATIONS)
def test_a_decoder_trains_and_decides_in_onnx_runtime_as_in_torch(tmp_path, bins, model, training):
    settings = small_config(steps=30, learning_rate=3e-3, model=replace(SMALL, **model), **training)
    run = trained_run(tmp_path, small_spec(bins), settings)
    manifest = export.export(run, tmp_path / "bundle", weights=True)
    assert manifest.training["parity"]["observations"] == 256 and manifest.training["parity"]["different"] == 0
    policy = Policy.load(tmp_path / "bundle", "cpu")
    policy.reset(), policy.instruct("do it")
    choice = policy.act({"camera0": np.zeros((16, 16, 3), np.uint8)}, np.zeros(2))
    assert np.isfinite(choice.q_all).sum(1).tolist() == list(bins)
    if "beam" not in model:
        assert choice.bins.tolist() == choice.q_all.argmax(1).tolist()
    network = TorchNetwork(load_bundle(tmp_path / "bundle"), "cpu")
    rng = np.random.default_rng(0)
    for array in network.inputs.values():
        array[...] = rng.integers(0, 2 if array.dtype == bool else 99, array.shape)
    network.instruct()
    assert np.isfinite(network.run()["q"]).all()


def test_a_beam_is_chosen_at_the_export(tmp_path):
    run = trained_run(tmp_path, small_spec((5, 7)), small_config(steps=30, learning_rate=3e-3))
    manifest = export.export(run, tmp_path / "bundle", beam=3)
    assert manifest.model["beam"] == 3 and manifest.training["parity"]["different"] == 0
    assert "a beam of 3" in (tmp_path / "bundle" / "README.md").read_text()
    with pytest.raises(QtxError, match="beam is 0, expected at least 1"):
        export.export(run, tmp_path / "bundle", beam=0)


@pytest.mark.parametrize("changes", [{"beam": 2}, {"order": "predicted"}])
def test_methods_without_values_refuse_to_search_for_them(changes):
    with pytest.raises(QtxError, match="method bc has none"):
        small_config(method="bc", model=replace(SMALL, **changes))
