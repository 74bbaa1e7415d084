"""Fewer bits than float32: measured on the data, refused unless they win."""

from __future__ import annotations

import shutil
from dataclasses import replace

import onnx
import pytest
from small_run import small_config, small_spec
from test_variants import trained_run

from qtx_ros.data.dataset import Dataset
from qtx_ros.deploy.bundle import Manifest, write_bundle_manifest
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint, export, precision
from qtx_ros.learn.graphs import picture_tokens
from qtx_ros.learn.lowering import lower
from qtx_ros.learn.precision import Comparison, Wanted


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained run, its data, and its float32 bundle."""
    root = tmp_path_factory.mktemp("precision")
    run = checkpoint.open_run(trained_run(root, small_spec(), small_config(steps=30, learning_rate=3e-3)))
    model, _ = export.load_model(run)
    (root / "fp32").mkdir()
    export.write_graphs(model, run.spec, root / "fp32", split=True)
    picture = picture_tokens(model, run.spec)
    write_bundle_manifest(root / "fp32", Manifest("m", run.spec, model.ring_shape, model.feature_size, picture=picture))
    return run, Dataset.open(root / "set"), root / "fp32"


def lowered(made, folder, kind, name="tick.onnx"):
    """A copy of the bundle with one graph of another precision; that graph."""
    _, data, fp32 = made
    shutil.copytree(fp32, folder)
    lower(folder / name, kind, precision.feeds(fp32, name, precision.observations(data, 16)))
    manifest = replace(Policy.load(fp32, "cpu").manifest, precision=kind)
    write_bundle_manifest(folder, manifest)
    return onnx.load(folder / name)


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_a_lower_precision_keeps_the_ports_and_nearly_all_bins(made, tmp_path, kind):
    graph = lowered(made, tmp_path / kind, kind)
    used = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) > 1}
    assert {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[kind] in used
    policies = [Policy.load(folder, "cpu") for folder in (made[2], tmp_path / kind)]  # the ports are checked here
    for policy in policies:
        policy._network.sight = None  # tick.onnx
    found = precision.compare(*policies, list(precision.observations(made[1], 40)), kind)
    assert found.observations == 40 and found.device == "cpu"
    assert 0.9 < found.agreement <= 1 and found.ms > 0 and found.fp32_ms > 0


@pytest.mark.parametrize("name", ["frame.onnx", "act.onnx"])
def test_the_graphs_for_pictures_seen_before_are_calibrated_too(made, tmp_path, name):
    lowered(made, tmp_path / "int8", "int8", name)
    assert Policy.load(tmp_path / "int8", "cpu").sees


FOUND = Comparison("int8", "cpu", 100, agreement=0.995, whole_actions=0.99, ms=1.0, fp32_ms=1.2)


def test_what_wins_is_kept_and_what_loses_is_refused_in_one_sentence():
    FOUND.check(0.99)
    with pytest.raises(QtxError, match=r"^int8 is slower \(1.41 ms against 1.27 ms on cpu\): not kept$"):
        replace(FOUND, ms=1.41, fp32_ms=1.27).check(0.99)
    with pytest.raises(QtxError, match=r"int8 chooses 94.2% of the bins of 100 .*, expected at least 99.0%: not kept"):
        replace(FOUND, agreement=0.942).check(0.99)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("int4",), "precision is 'int4', expected one of fp32, fp16, bf16, int8"),
        (("int8",), "measured on the training set: name it with --data"),
        (("bf16", ("set",)), "bf16 on device cpu: only tensorrt, torch-cuda and torch-cpu"),
        (("int8", ("set",), "cpu", 1.5), "min_agreement is 1.5"),
    ],
)
def test_wrong_wishes_are_refused(arguments, message):
    with pytest.raises(QtxError, match=message):
        Wanted(*arguments)


def test_other_data_than_the_runs_are_refused(made, tmp_path):
    from small_run import write_small_set

    other = write_small_set(tmp_path / "other", small_spec(), seed=5)
    with pytest.raises(QtxError, match="was trained on data with digest"):
        export._data_of(made[0], Wanted("int8", (str(other),)))
