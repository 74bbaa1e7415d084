"""How node processes end. The recorder's and the policy's ends are tested with their nodes."""

import signal
import subprocess
import sys
import time

import pytest
from own_domain import use_domain
from sim_world import start, stop


def in_background(*arguments: str) -> subprocess.Popen:
    """`qtx …` as a shell's background job: SIGINT is ignored at its start."""
    command = [sys.executable, "-m", "qtx_ros", *arguments]
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=ignore)


def wait(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_background_sim_ends_in_order_on_a_signal(number):
    use_domain(61)
    process = in_background("sim")
    try:
        assert b"ready" in process.stdout.readline()
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0 and b"Traceback" not in output


def test_interrupted_collecting_leaves_no_unfinished_episode(tmp_path):
    use_domain(62)
    sim, recorder = start("sim"), start("record", "--out", str(tmp_path))
    collect = start("collect", "--mix", "failure", "--episodes", "3")
    try:
        assert wait(lambda: list(tmp_path.glob(".2*")))  # an episode is being recorded
        before = len(list(tmp_path.glob("2*")))
        collect.send_signal(signal.SIGTERM)
        output, _ = collect.communicate(timeout=30)
        assert wait(lambda: not list(tmp_path.glob(".2*")))
    finally:
        logs = stop(sim) + stop(recorder)
        collect.kill()
    assert collect.returncode == 130 and b"Traceback" not in output
    assert "discarded" in logs and "Traceback" not in logs
    assert len(list(tmp_path.glob("2*"))) == before
