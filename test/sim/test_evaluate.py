import json
import subprocess
import sys

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from qtx_ros.cli import main
from qtx_ros.sim.evaluate import wilson
from qtx_ros.spec import Spec


def test_wilson_intervals_hold_the_rate_and_shrink_with_episodes():
    for successes, episodes in ((0, 10), (5, 10), (10, 10), (500, 1000)):
        low, high = wilson(successes, episodes)
        assert 0 <= low <= successes / episodes <= high <= 1
    assert wilson(10, 10)[0] == pytest.approx(0.722, abs=0.001)
    assert np.subtract(*wilson(500, 1000)[::-1]) < 0.1 * np.sqrt(0.5)


def test_the_expert_is_evaluated_as_a_reference(tmp_path, capsys):
    results, sheet = tmp_path / "results.json", tmp_path / "sheet.png"
    wanted = ["--tasks", "press the button", "drawer-open", "--json", str(results), "--sheet", str(sheet)]
    assert main(["evaluate", "expert", "--episodes", "1", *wanted]) == 0
    summary = json.loads(results.read_text())
    assert summary["mean_success"] == 1.0
    assert set(summary["tasks"]) == {"button-press-topdown", "drawer-open"}
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert "button-press-topdown       1.00" in capsys.readouterr().out


def test_a_bundle_drives_the_robot_and_is_told_how_it_did(tmp_path, capsys):
    bundle, results = write_tiny_bundle(tmp_path / "bundle", Spec.load("sawyer_sim")), tmp_path / "results.json"
    wanted = ["--episodes", "2", "--tasks", "window-open", "--horizon", "5", "--json", str(results)]
    assert main(["evaluate", str(bundle), *wanted]) == 0
    assert json.loads(results.read_text())["tasks"]["window-open"]["success"] == 0.0
    assert "window-open" in capsys.readouterr().out


def test_a_bundle_for_another_robot_is_refused(tmp_path, capsys):
    bundle = write_tiny_bundle(tmp_path, Spec.load("six_joint"))
    assert main(["evaluate", str(bundle)]) == 1
    assert "robot 'six_joint'" in capsys.readouterr().err


def test_the_simulator_needs_neither_torch_nor_ros():
    modules = "world, operators, rollout, evaluate, camera, pacer"
    code = f"import sys; from qtx_ros.sim import {modules}; print({{'torch', 'qtx_ros.ros'}} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
