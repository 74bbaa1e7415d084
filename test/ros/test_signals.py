"""SIGINT and SIGTERM end a spinning process at once and in order."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

PEER = Path(__file__).with_name("peer.py")
THREADED = """
from qtx_ros import ros
ros.init(args=[])
node = ros.Node("threaded")
executor = ros.MultiThreadedExecutor(num_threads=2)
executor.add_node(node)
node.create_timer(0.1, lambda: print("up", flush=True))
try:
    executor.spin()
except (KeyboardInterrupt, ros.ExternalShutdownException):
    pass
executor.shutdown()
node.destroy_node()
ros.try_shutdown()
print("ended", flush=True)
"""


def test_a_signal_in_the_first_callback_ends_the_process(spawn) -> None:
    callback = "lambda: __import__('os').kill(__import__('os').getpid(), 2)"
    process = spawn("-c", THREADED.replace('lambda: print("up", flush=True)', callback))
    output, errors = process.communicate(timeout=60)
    assert output == "ended\n" and process.returncode == 0, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", [[PEER], ["-c", THREADED]], ids=["single", "threads"])
def test_a_signal_ends_spinning(spawn, script, number) -> None:
    process = spawn(*script)
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert output.endswith("ended\n") and process.returncode == 0, errors
    assert "Traceback" not in errors
