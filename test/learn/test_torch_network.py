"""The tick in PyTorch decides as the one in ONNX Runtime, and a machine that lacks something runs the latter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_run import SMALL, small_config, small_spec
from test_variants import trained_run

from qtx_ros.deploy.policy import Policy
from qtx_ros.learn import export


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    root = tmp_path_factory.mktemp("torch")
    run = trained_run(root, small_spec(history=3), small_config(steps=30, learning_rate=3e-3, model=SMALL))
    export.export(run, root / "bundle", split=False, weights=True)
    return root / "bundle"


def test_torch_and_onnx_choose_the_same_bins(bundle):
    ours, theirs, rng = Policy.load(bundle, "torch-cpu"), Policy.load(bundle, "cpu"), np.random.default_rng(0)
    assert "runs on torch-cpu (PyTorch " in ours.device_line and ours.device == "torch-cpu" and not ours.sees
    for tick in range(60):
        for policy in (ours, theirs):
            policy.instruct(("do it", "something else")[tick // 8 % 2])
            if tick % 20 == 0:
                policy.reset()
        frames, state = {"camera0": rng.integers(0, 256, (16, 16, 3), np.uint8)}, rng.normal(size=2)
        a, b = (policy.act(frames, state) for policy in (ours, theirs))
        np.testing.assert_array_equal(a.bins, b.bins)
        np.testing.assert_allclose(a.q_all, b.q_all, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_cpu_takes_over(bundle):
    policy = Policy.load(bundle, "torch-cuda")
    assert policy.device == "cpu" and "because device torch-cuda: PyTorch" in policy.device_line


def test_a_bundle_without_weights_runs_in_onnx_runtime(bundle, tmp_path):
    import json
    import shutil

    shutil.copytree(bundle, tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["weights.safetensors"]
    path.write_text(json.dumps(manifest))
    line = Policy.load(tmp_path / "bundle", "torch-cpu").device_line
    assert "runs on cpu" in line and "qtx export --torch writes it" in line
