"""A bundle decides as the network it came from; a graph that does not is refused."""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import SMALL, small_config, small_spec, write_small_set

from qtx_ros import cli, config
from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint, export, graphs, parity
from qtx_ros.learn.trainer import build_model
from qtx_ros.preprocess import from_bins, text_tokens

ROBOT = small_spec(cameras=2, history=3, curve=1.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run with two cameras, three frames of history and different bin counts."""
    root = tmp_path_factory.mktemp("export")
    write_small_set(root / "set", ROBOT, instruction="push it")
    settings = root / "config.json"
    settings.write_text(json.dumps(config.dump(small_config(steps=30, learning_rate=3e-3))))
    command = ["train", str(root / "set"), "-o", str(root / "run"), "--config", str(settings), "--seed", "7"]
    assert cli.main(command) == 0
    return root / "run"


@pytest.fixture(scope="module")
def bundle(run):
    folder = run.parent / "bundle"
    assert cli.main(["export", str(run), "-o", str(folder)]) == 0
    return folder


def test_identical_bins_in_torch_and_onnx_are_counted_and_kept(bundle):
    found = load_bundle(bundle).manifest.training["parity"]
    assert found["observations"] == 256 and found["different"] == 0
    assert found["largest_q_difference"] < 1e-4


def test_bundle_says_where_it_comes_from(bundle):
    manifest = load_bundle(bundle).manifest
    assert manifest.spec == ROBOT and manifest.ring == (3, 3, 16)
    assert manifest.training["seed"] == 7 and manifest.training["step"] == 30
    assert manifest.training["mix"] == {"push it": {"success": 2, "failure": 2}}
    card = (bundle / "README.md").read_text()
    assert "seed 7" in card and "| push it | 2 | 2 |" in card and re.search(r"qtx train .*--seed 7", card)


def test_graphs_hold_their_weights(bundle):
    assert sorted(path.name for path in bundle.iterdir()) == [
        "README.md", "act.onnx", "frame.onnx", "instruction.onnx", "manifest.json", "tick.onnx"
    ]  # fmt: skip


def test_policy_acts_on_the_bundle_as_the_network_does(bundle, run):
    policy, opened = Policy.load(bundle, "cpu"), checkpoint.open_run(run)
    model, _ = export.load_model(opened)
    torch_side = parity._Torch(model, opened.spec)
    policy.reset(), policy.instruct("push it")
    torch_side.start(text_tokens("push it")[None], model.ring_shape)
    rng = np.random.default_rng(0)
    for tick in range(5):
        frames, state = rng.integers(0, 256, (2, 16, 16, 3), np.uint8), rng.normal(size=2).astype(np.float32)
        choice = policy.act({"camera0": frames[0], "camera1": frames[1]}, state)
        assert choice.bins.tolist() == torch_side.tick(frames, state, tick == 0)["bins"].tolist()
        np.testing.assert_allclose(choice.values, from_bins(ROBOT, choice.bins), rtol=1e-6, atol=1e-9)


def test_another_network_than_the_graphs_is_refused(bundle, run):
    opened = checkpoint.open_run(run)
    model, _ = export.load_model(opened)
    with torch.no_grad():
        model.decoder.head_bias += torch.randn_like(model.decoder.head_bias)
    found = parity.compare(model, opened.spec, bundle, ["push it"])
    with pytest.raises(QtxError, match=rf"other bins in {found.different} of 256 observations, expected none"):
        found.check()


def test_a_refused_export_leaves_the_old_bundle(run, bundle, monkeypatch):
    before = (bundle / "manifest.json").read_bytes()

    def write_another(model, spec, folder, split):
        for name in ("tick.onnx", "instruction.onnx"):
            shutil.copy(bundle / name, folder / name)
        with torch.no_grad():
            model.decoder.head_bias += torch.randn_like(model.decoder.head_bias)

    monkeypatch.setattr(export, "write_graphs", write_another)
    with pytest.raises(QtxError, match="other bins"):
        export.export(run, bundle)
    assert (bundle / "manifest.json").read_bytes() == before
    assert not [path for path in bundle.parent.iterdir() if path.name.endswith(".partial")]


def test_a_folder_with_other_things_is_not_replaced(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(QtxError, match="something else than a bundle"):
        export.export(run, tmp_path)


def test_every_example_input_is_a_tensor_of_its_own(run):
    opened = checkpoint.open_run(run)
    model, _ = export.load_model(opened)
    examples = (graphs.tick_example(model, opened.spec), graphs.act_example(model, opened.spec))
    for example in (*examples, *graphs.step_examples(model)):
        assert len({tensor.data_ptr() for tensor in example.values() if tensor.numel()}) == len(example)


def test_step_graphs_decide_as_the_one_graph(run, bundle, tmp_path):
    context_path, step_paths = export.export_steps(run, tmp_path / "steps")
    context, steps = parity.session(context_path), [parity.session(path) for path in step_paths]
    tick, manifest = parity.session(bundle / "tick.onnx"), load_bundle(bundle).manifest
    rng = np.random.default_rng(0)
    inputs = {
        name: (rng.integers(0, 256, shape).astype(kind) if kind == "uint8" else rng.normal(size=shape).astype(kind))
        for name, (kind, shape) in manifest.tick_inputs().items()
    }
    given = dict(zip([o.name for o in context.get_outputs()], context.run(None, inputs), strict=True))
    bins = []
    for step in steps:
        wanted = {port.name for port in step.get_inputs()}
        outputs = step.run(None, {name: value for name, value in given.items() if name in wanted})
        named = dict(zip([o.name for o in step.get_outputs()], outputs, strict=True))
        given |= {name.replace("kept", "past"): value for name, value in named.items()} | {"previous": named["bin"]}
        bins.append(int(named["bin"][0]))
    assert bins == tick.run(["bins"], inputs)[0].tolist()


def test_ties_are_counted_and_too_many_refuse_the_export(run, bundle):
    opened = checkpoint.open_run(run)
    model, _ = export.load_model(opened)
    with torch.no_grad():
        model.decoder.head[:, :, 1] = model.decoder.head[:, :, 0]
        model.decoder.head_bias[:, :2] = 100.0  # the best two bins of every dimension, equal
    found = parity.compare(model, opened.spec, bundle, ["push it"], count=16)
    assert found.ties > 4 and found.observations == 0
    with pytest.raises(QtxError, match="cannot decide"):
        found.check()


def test_a_tie_broken_otherwise_is_no_difference_of_a_later_tick(monkeypatch):
    spec, settings = small_spec((4, 3)), small_config(model=replace(SMALL, memory=2))
    ours = build_model(spec, settings, 0).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        ours.decoder.head[0, :, 1] = ours.decoder.head[0, :, 0]
        ours.decoder.head_bias[0, 1] = ours.decoder.head_bias[0, 0]  # two bins of one Q, sometimes the best one
        theirs = copy.deepcopy(ours)
        theirs.decoder.head_bias[0, 1] += 2e-6  # less than a tie: they take the other one
    monkeypatch.setattr(parity, "_Onnx", lambda folder: parity._Torch(theirs, spec))
    found = parity.compare(ours, spec, None, ["push it"], count=40)
    assert found.ties > 4 and found.different == 0 and found.largest_q_difference < 1e-5


def test_graphs_name_no_folder_of_the_machine_that_exported(bundle):
    for name in ("tick.onnx", "instruction.onnx"):
        content = (bundle / name).read_bytes()
        assert b"graphs.py" not in content and b"site-packages" not in content and b"File \"" not in content
