"""`qtx bench train` ends with one line of JSON that holds what the table shows."""

from __future__ import annotations

import json

from qtx_ros import cli


def test_train_benchmark_reports_every_batch_size(capsys):
    assert cli.main(["bench", "train", "--batch", "2", "8", "--steps", "1"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    rows = json.loads(lines[-1])["batches"]
    assert [row["batch"] for row in rows] == [2, 8]
    assert all(row["samples_per_s"] > 0 and row["peak_mb"] > 0 for row in rows)
