"""Networks beside the shipped one: each is exported with the same names and decides in ONNX Runtime as in PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from small_run import SMALL, small_config, small_spec, write_small_set

from qtx_ros import config
from qtx_ros.data.dataset import Dataset
from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint, export, train
from qtx_ros.learn.trainer import Trainer, open_windows
from qtx_ros.model.maxvit import MaxViTConfig

OFFLINE = """
import sys

def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":  # a look at this machine's own name
        raise AssertionError(f"network use: {event} {arguments}")

sys.addaudithook(refuse)
from qtx_ros import cli

root = sys.argv[1]
status = cli.main(["train", f"{root}/set", "-o", f"{root}/run", "--config", f"{root}/config.json"])
status = status or cli.main(["export", f"{root}/run", "-o", f"{root}/bundle"])
try:
    __import__("socket").socket()
except AssertionError:
    sys.exit(status)
sys.exit("the hook does not refuse sockets")
"""


def trained_run(root, spec, settings):
    """Folder of a run, trained for a moment."""
    dataset = Dataset.open(write_small_set(root / "set", spec))
    windows = open_windows(dataset, settings)
    checkpoint.create_run(root / "run", spec, settings, train.describe(dataset, [str(root)]) | {"command": "-"}, 0)
    trainer = Trainer(spec, settings, 0)
    trainer.set_statistics(windows)
    trainer.train(windows, root / "run", lambda *_: None)
    return root / "run"


@pytest.mark.parametrize(
    "changes",
    [{"critics": 2}, {"critics": 2, "guidance": 2.5, "dueling": True}],
    ids=["twins", "guided twins"],
)
def test_a_variant_keeps_the_contract_of_the_bundle(tmp_path, changes):
    settings = small_config(steps=30, learning_rate=3e-3, text_drop=0.2, model=replace(SMALL, **changes))
    run = trained_run(tmp_path, small_spec(), settings)
    manifest = export.export(run, tmp_path / "bundle")
    assert manifest.training["parity"]["observations"] == 256 and manifest.training["parity"]["different"] == 0
    assert manifest.model.items() >= changes.items() and manifest.picture == (2 if "guidance" in changes else 1)
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "two critics" in card and ("guidance 2.5" in card) == ("guidance" in changes)
    model, _ = export.load_model(checkpoint.open_run(run))
    assert load_bundle(tmp_path / "bundle").manifest.ring == model.ring_shape
    policy = Policy.load(tmp_path / "bundle", "cpu")
    policy.reset(), policy.instruct("do it")
    choice = policy.act({"camera0": np.zeros((16, 16, 3), np.uint8)}, np.zeros(2))
    assert choice.bins.tolist() == choice.q_all.argmax(1).tolist()
    assert choice.q.tolist() == choice.q_all.max(1).tolist()
    with pytest.raises(QtxError, match="its tick is one graph only"):
        export.export_steps(run, tmp_path / "steps")


@pytest.mark.parametrize("norm", ["rms", "batch"])
def test_a_maxvit_policy_trains_and_exports(tmp_path, norm):
    maxvit = MaxViTConfig(dim=4, depth=(1,), heads=2, head_width=4, window=2, expansion=2, norm=norm, tokens=2)
    settings = small_config(steps=10, learning_rate=3e-3, model=replace(SMALL, encoder="maxvit", maxvit=maxvit))
    run = trained_run(tmp_path, small_spec((4, 3), cameras=2), settings)
    manifest = export.export(run, tmp_path / "bundle")
    assert manifest.training["parity"]["observations"] == 256 and manifest.training["parity"]["different"] == 0
    assert manifest.ring == (2, 5, 16) and manifest.model["maxvit"]["norm"] == norm


def test_the_target_network_takes_the_statistics_of_batch_norms(tmp_path):
    maxvit = MaxViTConfig(dim=4, depth=(1,), heads=1, head_width=4, window=2, expansion=1, norm="batch", tokens=1)
    settings = small_config(steps=2, model=replace(SMALL, encoder="maxvit", maxvit=maxvit))
    spec = small_spec()
    windows = open_windows(Dataset.open(write_small_set(tmp_path / "set", spec)), settings)
    trainer = Trainer(spec, settings, 0)
    trainer.update(next(windows.batches(8, 0, 0, 1)))
    statistics = [n.encoder.blocks[0].conv.norm_expand.running_mean for n in (trainer.model, trainer.target)]
    assert statistics[0].abs().max() > 0 and statistics[0].equal(statistics[1])


def test_guidance_can_be_chosen_at_export(tmp_path):
    run = trained_run(tmp_path, small_spec(), small_config(text_drop=0.5))
    state, frames = np.zeros(2), {"camera0": np.zeros((16, 16, 3), np.uint8)}
    found = []
    for scale in (None, 4.0):
        manifest = export.export(run, tmp_path / "bundle", guidance=scale)
        assert manifest.training["parity"]["different"] == 0 and manifest.model["guidance"] == (scale or 1.0)
        policy = Policy.load(tmp_path / "bundle", "cpu")
        policy.reset(), policy.instruct("do it")
        found.append(policy.act(frames, state).q_all[0])
    assert not np.allclose(found[0][:5], found[1][:5])


def test_one_dimension_and_no_text_train_and_export_without_network(tmp_path):
    write_small_set(tmp_path / "set", small_spec((4,)), instruction="")
    (tmp_path / "config.json").write_text(json.dumps(config.dump(small_config(steps=2))))
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert load_bundle(tmp_path / "bundle").manifest.training["mix"] == {"": {"success": 2, "failure": 2}}


def test_options_of_the_context_export_whole_and_split(tmp_path):
    changes = {"text": "cross", "hyper_streams": 2, "memory": 3, "memory_dropout": 0.5}
    changes |= {"token_learner": 2, "keypoints": 3}
    settings = small_config(steps=10, learning_rate=3e-3, model=replace(SMALL, **changes))
    run = trained_run(tmp_path, replace(small_spec((4, 3)), tick="timer"), settings)
    manifest = export.export(run, tmp_path / "bundle", weights=True)
    assert manifest.training["parity"]["observations"] == 256 and manifest.training["parity"]["different"] == 0
    assert manifest.model.items() >= changes.items() and manifest.picture == 3
    ours, theirs = (Policy.load(tmp_path / "bundle", device) for device in ("torch-cpu", "cpu"))
    rng = np.random.default_rng(0)
    for tick in range(12):
        frames, state, found = {"camera0": rng.integers(0, 256, (16, 16, 3), np.uint8)}, rng.normal(size=2), []
        for policy in (ours, theirs):
            policy.instruct("do it")
            if tick == 6:
                policy.reset()
            if tick % 2:
                policy.see("camera0", frames["camera0"])
            found.append(policy.act(frames, state).bins.tolist())
        assert found[0] == found[1]
