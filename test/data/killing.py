"""Kill the process that converts a bag, while it does; and compare training sets byte for byte."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path


def tree(out):
    """Relative path → bytes of every file of a training set but the hidden ones."""
    files = [path for path in Path(out).rglob("*") if path.is_file()]
    names = {path: path.relative_to(out) for path in files}
    return {str(name): path.read_bytes() for path, name in names.items() if not str(name).startswith(".")}


def writers_of(out, episode):
    """The processes that began to write an episode and did not finish: hidden folders say so."""
    return [int(folder.name.rsplit(".", 1)[1]) for folder in Path(out).glob(f".{episode}.*")]


def wait_for_writer(out, episode, patience=60.0):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if pids := writers_of(out, episode):
            return pids[0]
        time.sleep(0.002)
    raise AssertionError(f"nobody wrote {episode} within {patience} s")


def gone(pid):
    """Whether a process has ended, or is only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def killer(out, episode, times):
    """kill −9 whoever writes the episode, so often; yields the processes killed so far."""
    killed, done = [], threading.Event()

    def hunt():
        while len(killed) < times and not done.is_set():
            for pid in set(writers_of(out, episode)) - set(killed):
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    thread = threading.Thread(target=hunt)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()
