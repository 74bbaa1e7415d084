"""What a manifest says of a recording's time: offsets, rates, silences."""

import json

import pytest

from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.data.conversion import Options
from qtx_ros.data.convert import convert
from qtx_ros.data.timing import timing
from qtx_ros.spec import Spec

MS = 1_000_000


def test_offsets_rates_and_gaps_of_each_stream():
    steady = [i * 10 * MS for i in range(101)]
    holed = [1000 * MS + t for t in steady if not 300 * MS < t < 400 * MS]
    found = timing({"a": steady, "b": holed, "once": [5]}, {"a": [n * MS for n in range(101)], "b": []})
    assert found["clock"] == {"a": {"median": 0.05, "p5": 0.005, "p95": 0.095}}
    assert found["rates"] == {"a": 100.0, "b": 91.0}
    assert found["gaps"]["a"] == {"longest": 0.01, "long": []}
    assert found["gaps"]["b"] == {"longest": 0.1, "long": [[1.3, 0.1]]}


def test_a_manifest_holds_what_was_recorded(tmp_path):
    spec = Spec.load("sawyer_sim")
    bag = write_bag(tmp_path, "bag", Script(spec, seconds=3.0, gap=(1.0, 1.6), camera_latency=0.04))
    convert([bag], Options(tmp_path / "set", spec))
    manifest = json.loads((tmp_path / "set" / "bag" / "manifest.json").read_text())
    camera = manifest["clock"]["camera/image_raw"]
    assert 0.036 <= camera["p5"] < camera["median"] < camera["p95"] <= 0.044
    assert manifest["rates"]["joint_states"] == pytest.approx(100.0, abs=0.01)
    ((begin, length),) = manifest["gaps"]["camera/image_raw"]["long"]
    assert begin == pytest.approx(0.99, abs=0.02) and length == pytest.approx(0.65, abs=0.02)
    assert manifest["gaps"]["joint_states"]["long"] == []
