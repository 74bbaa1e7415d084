"""`qtx bench wire` measures every stream between two processes and ends with one JSON line."""

from __future__ import annotations

import json

import pytest

from qtx_ros.cli import main


def test_all_streams_arrive_and_are_reported(capsys) -> None:
    assert main(["bench", "wire", "--seconds", "0.5", "--together"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["stream"] for row in report["streams"]] == ["image 640x480", "image 224x224", "joint state"]
    assert all(row["messages"] > 0 and 0 < row["p50_ms"] <= row["p99_ms"] for row in report["streams"])


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_a_time_that_measures_nothing_is_refused(seconds: str, capsys) -> None:
    assert main(["bench", "wire", f"--seconds={seconds}"]) == 1
    assert f"--seconds is {float(seconds)}" in capsys.readouterr().err
