import json

import pytest
from tiny_bundle import write_tiny_bundle

from qtx_ros.deploy.bundle import Manifest, load_bundle, read_manifest, write_bundle_manifest
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec


@pytest.fixture
def spec():
    return Spec.load("sawyer_sim")


@pytest.fixture
def folder(tmp_path, spec):
    return write_tiny_bundle(tmp_path / "tiny", spec)


def edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_written_is_read_back(folder, spec):
    bundle = load_bundle(folder)
    assert bundle.manifest.spec == spec
    assert bundle.manifest.ring == (spec.history, 1, 1)
    assert bundle.graphs["tick.onnx"] == (folder / "tick.onnx").read_bytes()


def test_small_floats_survive_the_manifest(folder, spec):
    manifest = Manifest("m", spec, (2, 1, 1), 2, metrics={"loss": 1e-05})
    write_bundle_manifest(folder, manifest)
    assert load_bundle(folder).manifest.metrics == {"loss": 1e-05}


@pytest.mark.parametrize("graph", ["tick.onnx", "instruction.onnx"])
def test_one_flipped_bit_is_found(folder, graph):
    data = bytearray((folder / graph).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / graph).write_bytes(data)
    with pytest.raises(QtxError, match=f"{graph} was changed after export"):
        load_bundle(folder)


def test_a_cut_file_is_found(folder):
    (folder / "tick.onnx").write_bytes((folder / "tick.onnx").read_bytes()[:-1])
    with pytest.raises(QtxError, match="tick.onnx has .* bytes, not the"):
        load_bundle(folder)


def test_a_missing_graph_is_named(folder):
    (folder / "instruction.onnx").unlink()
    with pytest.raises(QtxError, match="cannot read instruction.onnx"):
        load_bundle(folder)


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(QtxError, match="is not a bundle"):
        load_bundle(tmp_path)
    with pytest.raises(QtxError, match="is not a bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format is 2, this version of qtx_ros reads format 1"),
        ({"files": {}}, "files has no sha256 and bytes for tick.onnx"),
        ({"ring": [3, 1, 1]}, "ring holds 3 frames, its spec has history 2"),
        ({"ring": [2, 1]}, "got 2 values .*, expected 3"),
        ({"features": 0}, "must be at least 1"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"spec": {"name": "x"}}, "key 'rate' is missing"),
    ],
)
def test_a_wrong_manifest_is_refused(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(QtxError, match=message):
        load_bundle(folder)


def test_a_manifest_that_is_not_json_is_refused(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(QtxError, match="is not valid JSON"):
        load_bundle(folder)


def test_a_graph_for_another_robot_is_refused(folder, spec):
    manifest = spec.to_dict()
    manifest["states"][0]["names"].append("extra")
    edit(folder, spec=manifest)
    with pytest.raises(QtxError, match=r"input state should be float32 \[9\], it has float32 \[8\]"):
        Policy.load(folder)


def test_bytes_that_are_no_graph_are_refused(folder, spec):
    (folder / "tick.onnx").write_bytes(b"not a graph")
    write_bundle_manifest(folder, read_manifest(folder))
    with pytest.raises(QtxError, match="tick.onnx does not load in ONNX Runtime"):
        Policy.load(folder)

