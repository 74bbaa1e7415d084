"""`qtx bench record` runs the real recorder and a plain one beside the same robot, and accounts for every message."""

from __future__ import annotations

import json

from qtx_ros.bench.meter import slope
from qtx_ros.cli import main


def test_every_message_is_accounted_for(capsys, tmp_path) -> None:
    assert main(["bench", "record", "--seconds", "3", "--folder", str(tmp_path), "--discard"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    ours, plain = report["rows"]
    for row in (ours, plain):
        assert row["sent"] > 100 and row["recorded"] + row["lost"] == row["sent"] and row["lost"] >= 0
        assert row["bytes"] > 10_000_000 and 0 < row["core"] and row["rss_mib"] > 0
    assert not list(tmp_path.iterdir())


def test_a_slope_is_that_of_the_line() -> None:
    assert slope([(0, 10), (1, 12), (2, 14)]) == 2 and slope([(1, 5)]) == 0


def test_a_time_too_short_is_refused(capsys) -> None:
    assert main(["bench", "record", "--seconds", "1"]) == 1
    assert "--seconds is 1.0" in capsys.readouterr().err
