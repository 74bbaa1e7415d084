"""Children never outlive their parent, however it ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from qtx_ros.errors import QtxError
from qtx_ros.processes import Children

SLEEP = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
STUBBORN = [sys.executable, "-c", "import signal; signal.signal(2, signal.SIG_IGN); " + SLEEP[-1]]
PARENT = """
import sys, time
from qtx_ros.processes import Children
with Children(sys.argv[1]) as children:
    children.start("child", [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"])
    time.sleep(600)
"""


def pid_in(log) -> int:
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < deadline, f"{log} stayed empty"
        time.sleep(0.02)
    return int(log.read_text().split()[0])


def gone(pid: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if "\nState:\tZ" in open(f"/proc/{pid}/status").read():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("command", [SLEEP, STUBBORN], ids=["polite", "stubborn"])
def test_children_end_with_the_block(tmp_path, command):
    with Children(tmp_path) as children:
        children.start("child", command)
        pid = pid_in(tmp_path / "child.log")
        children.check()
        children.stop(patience=0.5)
        assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_a_signalled_parent(tmp_path, number):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stderr=subprocess.DEVNULL)
    pid = pid_in(tmp_path / "child.log")
    parent.send_signal(number)
    parent.wait(20)
    assert gone(pid)


def test_a_child_that_ends_by_itself_is_reported_with_its_last_words(tmp_path):
    with Children(tmp_path) as children:
        children.start("camera", [sys.executable, "-c", "print('no such device'); raise SystemExit(3)"])
        deadline = time.monotonic() + 20
        with pytest.raises(QtxError, match="camera process ended with status 3: no such device"):
            while time.monotonic() < deadline:
                children.check()
                time.sleep(0.02)
