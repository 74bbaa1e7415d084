"""A robot seen by its state alone trains, exports, and decides from a bundle that takes no frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_run import SMALL, small_config, small_spec
from test_variants import trained_run

from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.learn import export, parity


@pytest.mark.parametrize("method", ["q", "bc"])
def test_every_method_trains_without_frames(tmp_path, method):
    run = trained_run(tmp_path, small_spec(cameras=0), small_config(method=method))
    assert (run / "checkpoint.safetensors").exists()


def test_a_bundle_without_frames_and_text_decides_as_the_network(tmp_path):
    settings = small_config(steps=30, learning_rate=3e-3, model=replace(SMALL, text="none", memory=4))
    spec = replace(small_spec((4, 3), cameras=0, history=3), tick="timer")
    run = trained_run(tmp_path, spec, settings)
    manifest = export.export(run, tmp_path / "bundle", weights=True)
    assert manifest.training["parity"]["different"] == 0 and manifest.picture == 0
    assert manifest.ring == (3, 1 + 2, 16)  # the state's token, and room for 4 + 1 steps
    assert "sees no cameras and 2 state values" in (tmp_path / "bundle" / "README.md").read_text()
    ours, theirs = Policy.load(tmp_path / "bundle", "torch-cpu"), Policy.load(tmp_path / "bundle", "cpu")
    rng = np.random.default_rng(0)
    for policy in (ours, theirs):
        policy.instruct("do it")
    for _ in range(5):
        state = rng.normal(size=2)
        assert ours.act({}, state).bins.tolist() == theirs.act({}, state).bins.tolist()
    assert not theirs.sees and not ours.sees


def test_there_are_no_pictures_to_split_off(tmp_path):
    run = trained_run(tmp_path, small_spec((4,), cameras=0), small_config(steps=1))
    with pytest.raises(QtxError, match="robot 'small' has no cameras"):
        export.export(run, tmp_path / "bundle", split=True)
    context, _ = export.export_steps(run, tmp_path / "steps")
    assert "frames" not in [port.name for port in parity.session(context).get_inputs()]
