"""`qtx bench soak`: what counts as flat, and that the real processes are watched."""

import json

import pytest

from qtx_ros.bench.soak import Sample, growth, missed
from qtx_ros.cli import main


def samples(per_second: float, files: int = 0) -> list[Sample]:
    return [Sample(s, 100 + per_second * s, 10 + (files if s > 300 else 0), 8) for s in range(1, 601)]


def test_memory_that_grows_and_files_that_stay_open_are_not_flat():
    assert growth(samples(0.0), 60).flat
    assert not growth(samples(0.02), 60).flat
    assert growth(samples(0.02), 60).slope == pytest.approx(72.0)
    assert not growth(samples(0.0, files=3), 60).flat


def test_a_period_without_a_tick_is_missed():
    assert missed([0, 50, 100, 200, 260, 410], 50) == 3


def test_policy_and_watchdog_are_watched(capsys):
    main(["bench", "soak", "--minutes", "0.08", "--warm-up", "1"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["ticks"] > 20 and report["policy"]["warm"] > 10 and report["watchdog"]["warm"] > 10


def test_a_time_shorter_than_the_warm_up_is_refused(capsys):
    assert main(["bench", "soak", "--minutes", "1"]) == 1
    assert "--minutes is 1, expected more than the warm-up of 60 s" in capsys.readouterr().err
