"""`qtx bench tick`: the ways agree, the peer's process is asked politely, the table is whole."""

from __future__ import annotations

import argparse
import json
import os
import sys

import numpy as np
import pytest

from qtx_ros import cli, config
from qtx_ros.bench import tick, tick_against, tick_table
from qtx_ros.bench.limits import Limits
from qtx_ros.bench.q_transformer_weights import load_weights
from qtx_ros.errors import QtxError
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import ModelConfig, QTransformer
from qtx_ros.paths import share
from qtx_ros.spec import Spec

PEER_PYTHON = os.environ.get("QTX_PEER_PYTHON", "")
SMALL = "model: {channels: [4, 8], grid: 1, width: 16, heads: 2, decoder_layers: 1, text_width: 8}\n"


def test_three_ways_to_compute_a_tick_choose_the_same_bins(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(SMALL)
    parser = argparse.ArgumentParser()
    tick.add_arguments(parser)
    assert tick.main(parser.parse_args(["--config", str(tmp_path / "small.yaml"), "--ticks", "5"])) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(summary["ms"]) == ["torch eager", "ONNX step by step", "one graph"]
    assert all(way["other_bins"] == 0 and way["p50"] > 0 for way in summary["ms"].values())


def test_a_python_without_the_other_package_gets_one_sentence_with_the_remedy(capsys):
    assert cli.main(["bench", "tick", "--against", "q-transformer"]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1 and f"{sys.executable} has no q-transformer" in sentence
    assert "pip install q-transformer==0.5.0" in sentence and "--peer-python" in sentence


def test_a_python_that_is_not_there_is_named(capsys):
    assert cli.main(["bench", "tick", "--against", "q-transformer", "--peer-python", "/nowhere/python"]) == 1
    assert "cannot run /nowhere/python: No such file" in capsys.readouterr().err


def test_a_server_that_fails_gives_its_last_words():
    with pytest.raises(QtxError, match=r"failed: .*Error: no such thing"):
        tick_against.Server([sys.executable, "-c", "raise SystemExit('Error: no such thing')"])


def test_policies_in_processes_of_their_own_take_turns():
    command = [sys.executable, "-m", "qtx_ros.bench.tick_server", str(share("models/sawyer_sim")), "1"]
    with tick_against.Server(command) as server:
        rows = tick_against.take_turns({tick_against.SAME: server, tick_against.SHIPPED: server}, rounds=1)
    assert all(row["wall_ms"] > 0 and row["cpu_ms"] > 0 and row["peak_mb"] > 10 for row in rows.values())


@pytest.mark.skipif(not PEER_PYTHON, reason="QTX_PEER_PYTHON names no Python that has q-transformer 0.5.0")
def test_the_same_weights_give_the_same_tokens_in_both_implementations(tmp_path):
    size = tick_against.Size()
    model = QTransformer(size.spec, config.build(ModelConfig, size.model, "test")).eval()
    with tick_against.open_peer(PEER_PYTHON, 1) as peer:
        peer.ask("save", tmp_path / "peer.npz")
    with np.load(tmp_path / "peer.npz") as saved:
        assert load_weights(model.encoder, saved) < 1e-4


def test_the_table_holds_every_size(tmp_path, capsys, monkeypatch):
    cells = tuple(tick_table.Cell(history, 16, 1, 3) for history in (1, 2))
    monkeypatch.setattr(tick_table, "CELLS", cells)
    (tmp_path / "small.yaml").write_text(SMALL)
    assert cli.main(["bench", "tick", "--table", "--config", str(tmp_path / "small.yaml"), "--ticks", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["1", "16²"], ["2", "16²"]]
    assert [(cell["history"], cell["p50"] > 0) for cell in json.loads(lines[-1])["table"]] == [(1, True), (2, True)]


def test_what_a_device_allows_is_counted_from_the_graph_it_runs(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(SMALL)
    parser = argparse.ArgumentParser()
    tick.add_arguments(parser)
    assert tick.main(parser.parse_args(["--config", str(tmp_path / "small.yaml"), "--ticks", "3"])) == 0
    out = capsys.readouterr().out
    summary = json.loads(out.splitlines()[-1])
    found, p50 = summary["limits"], summary["ms"]["one graph"]["p50"]
    model = QTransformer(Spec.load("sawyer_sim"), config.load(TrainConfig, tmp_path / "small.yaml").model)
    used = sum(p.numel() for name, p in model.named_parameters() if not name.startswith(("text", "film")))
    assert found["nodes"] > 50 and used * 4 < found["bytes"] < used * 8 + 2e5
    assert found["launch_us"] > 0 and 1e8 < found["bandwidth"] < 1e13
    assert summary["fraction"] == pytest.approx(max(found["launch_ms"], found["bandwidth_ms"]) / p50, abs=1e-3)
    assert "launch-bound limit" in out and "bandwidth-bound limit" in out


def test_a_torch_device_is_measured_beside_the_others(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(SMALL)
    parser = argparse.ArgumentParser()
    tick.add_arguments(parser)
    asked = ["--config", str(tmp_path / "small.yaml"), "--ticks", "3", "--device", "torch-cpu"]
    assert tick.main(parser.parse_args(asked)) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["ms"]["one graph"]["other_bins"] == 0 and "limits" not in summary


def test_limits_are_the_larger_of_launches_and_bytes():
    found = Limits(nodes=200, bytes=4_000_000, launch_us=2.0, bandwidth=1e10)
    assert (found.launch_ms, found.bandwidth_ms) == pytest.approx((0.4, 0.4))
    assert found.fraction(0.8) == pytest.approx(0.5)
