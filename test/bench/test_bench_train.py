"""`qtx bench train` ends with one line of JSON that holds what the tables show."""

from __future__ import annotations

import json
import os

import pytest

from qtx_ros import cli
from qtx_ros.bench import train_against
from qtx_ros.bench.tick_against import THEIRS, Size

PEER = os.environ.get("QTX_PEER_PYTHON")
TINY = {"dim": 32, "depth": (1,), "heads": 8, "head_width": 32, "window": 7, "expansion": 4, "tokens": 8}


def test_train_benchmark_reports_every_batch_and_where_the_time_goes(capsys):
    assert cli.main(["bench", "train", "--batch", "2", "8", "--chunk", "4", "--steps", "1"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    rows = json.loads(lines[-1])["batches"]
    assert [row["batch"] for row in rows] == [2, 8] and rows[1]["frames"] < 8 * 3
    for row in rows:
        assert row["samples_per_cpu_s"] > 0 and row["peak_mb"] > row["steps_mb"] >= 0
        assert row["parts"].keys() >= {"loader", "encode online", "encode target", "decode", "backward", "optimiser"}


@pytest.mark.skipif(not PEER, reason="QTX_PEER_PYTHON names no Python with q-transformer")
def test_the_learner_of_q_transformer_runs_beside_ours(capsys):
    rows, difference = train_against.compare(PEER, Size(28, 2, 2, 8, TINY), 2, 1, warm=1, steps=1)
    assert difference < 1e-3 and list(rows) == [THEIRS, *train_against.OURS]
    assert all(row["samples_per_cpu_s"] > 0 for row in rows.values())
