"""The latency benchmark with its real processes, shortly."""

import json
import subprocess
import sys

import pytest

from qtx_ros.bench.latency import summary
from qtx_ros.deploy.stages import STAGES
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")
MS = 1_000_000


def decision(tick, latency, hold=False, **stages):
    return {"stamp": tick, "tick": tick, "published": tick + latency, "hold": hold, "reason": "", "stages": stages}


def test_missed_ticks_and_percentiles_by_hand():
    period = SPEC.period_ns
    ticks = [0, period, 2 * period, 5 * period]
    result = summary([decision(t, (i + 1) * MS, network=2.0) for i, t in enumerate(ticks)], SPEC)
    assert (result["decisions"], result["holds"], result["missed"]) == (4, 0, 2)
    assert (result["p50"], result["max"]) == (2.5, 4.0)
    assert result["stages"]["network"] == {"p50": 2.0, "p99": 2.0} and list(result["stages"]) == list(STAGES)


def test_holds_do_not_count_as_decisions():
    with pytest.raises(QtxError, match="1 of 3 decisions were the network's"):
        summary([decision(0, MS), decision(1, MS, hold=True), decision(2, MS, hold=True)], SPEC)


def test_the_real_processes_decide_and_the_plot_is_drawn(tmp_path):
    plot = tmp_path / "latency.png"
    command = [sys.executable, "-m", "qtx_ros", "bench", "latency", "--seconds", "2", "--plot", str(plot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["decisions"] > 5 and result["p50"] > 0
    assert sum(stage["p50"] for stage in result["stages"].values()) < 3 * result["p50"] + 5
    assert plot.read_bytes().startswith(b"\x89PNG")
