"""Two processes under torchrun learn what one does, and go on after one of them was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_run import small_config, small_spec, write_small_set
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qtx_ros import cli, config
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint
from qtx_ros.learn.parallel import World
from qtx_ros.learn.trainer import Trainer

SETTINGS = small_config(steps=30, save_every=5, chunk=6, shift=2, colour=0.2, text_drop=0.3)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qtx_ros"]


def start(root, run, *options) -> subprocess.Popen:
    """Training by two processes."""
    given = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*TORCHRUN, *command(root, run), *options], env=given, stderr=subprocess.DEVNULL)


def command(root, run) -> list[str]:
    return ["train", str(root / "set"), "-o", str(root / run), "--config", str(root / "config.json")]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """The folder of a set and of two runs over it: `one` process, and `two`."""
    root = tmp_path_factory.mktemp("parallel")
    write_small_set(root / "set", small_spec())
    (root / "config.json").write_text(json.dumps(config.dump(SETTINGS)))
    two = start(root, "two")
    assert cli.main(command(root, "one")) == 0
    assert two.wait(120) == 0
    return root


def losses(run: Path) -> list[float]:
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    return [event.value for event in board.Scalars("loss")]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_checkpoint(run)[0]["model"]


def test_two_processes_have_the_loss_curve_of_one_at_an_equal_global_batch(both):
    one, two = losses(both / "one"), losses(both / "two")
    assert len(one) == SETTINGS.steps and two == pytest.approx(one, rel=1e-3)
    for name, value in weights(both / "one").items():
        torch.testing.assert_close(weights(both / "two")[name], value, atol=1e-3, rtol=1e-2)


def test_only_the_first_process_writes(both):
    files = sorted(path.name for path in (both / "two").iterdir())
    assert files == sorted(path.name for path in (both / "one").iterdir())
    assert len(list((both / "two" / "tensorboard").iterdir())) == 1


def test_a_run_whose_second_process_was_killed_resumes_to_the_same_weights(both):
    torchrun = start(both, "killed")
    while not (both / "killed" / checkpoint.CHECKPOINT).exists() and torchrun.poll() is None:
        time.sleep(0.02)
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    ranks = {environment(pid).get("RANK"): int(pid) for pid in children}
    os.kill(ranks["1"], signal.SIGKILL)
    assert torchrun.wait(60) != 0
    assert 0 < checkpoint.load_checkpoint(both / "killed")[1]["step"] < SETTINGS.steps
    assert start(both, "killed", "--resume").wait(120) == 0
    whole, resumed = weights(both / "two"), weights(both / "killed")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def environment(pid: str) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_a_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(QtxError, match="batch_size is 8, expected a multiple of the 3 processes"):
        Trainer(small_spec(), SETTINGS, 0, World(1, 3))
