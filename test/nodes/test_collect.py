import json

import numpy as np
from sim_world import start, stop, use_domain

from qtx_ros.cli import main as run


def test_labelled_episodes_are_collected_over_the_wire(tmp_path):
    use_domain(58)
    sim, recorder = start("sim"), start("record", "--out", str(tmp_path))
    try:
        collect = start("collect", "--mix", "stitch-demo", "--episodes", "1", "--tasks", "press the button")
        output, _ = collect.communicate(timeout=100)
    finally:
        logs = stop(sim) + stop(recorder)
    assert collect.returncode == 0, output.decode() + logs
    assert "button-press-topdown" in output.decode() and "1 kept" in output.decode()
    run(["convert", str(tmp_path), "--out", str(tmp_path / "set"), "--jobs", "1"])
    (episode,) = (tmp_path / "set").glob("**/manifest.json")
    manifest = json.loads(episode.read_text())
    assert (manifest["label"], manifest["instruction"], manifest["terminated"]) == ("success", "press the button", True)
    assert np.load(episode.parent / "reward.npy").sum() == 1.0


def test_without_a_robot_collecting_ends_with_a_sentence():
    use_domain(59)
    collect = start("collect", "--no-record", "--timeout", "2")
    output, _ = collect.communicate(timeout=60)
    assert collect.returncode == 1 and b"/sim/reset" in output and b"Traceback" not in output
