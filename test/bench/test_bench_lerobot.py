"""`qtx bench lerobot` runs without lerobot, shows our rows, and ends with one line of JSON."""

import argparse
import json

import pytest

from qtx_ros.bench import lerobot

pytest.importorskip("pyarrow")
pytest.importorskip("av")


def test_our_rows_need_no_lerobot(capsys):
    parser = argparse.ArgumentParser()
    lerobot.add_arguments(parser)
    arguments = ["--seconds", "1", "--image", "48", "64", "--stored", "32", "32"]
    assert lerobot.main(parser.parse_args(arguments)) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["benchmark"] == "lerobot" and line["ratios"] == {} and line["frames"] >= 30
    assert [row["name"].split(":")[0] for row in line["rows"]] == ["ours"] * 5
    assert all(row["mb"] > 0 for row in line["rows"])


def test_ratios_compare_pairs_of_rows():
    cpu = dict.fromkeys([*lerobot.OURS, "ours: frames → training set"], 1.0) | dict.fromkeys(lerobot.THEIRS, 9.0)
    ratios = lerobot.compare(cpu | {"ours: bags → training set": 3.0})
    assert ratios["export h264 / lerobot as it comes"] == 9.0
    assert ratios["bags → training set / the same reading, then lerobot"] == round(11 / 3, 2)


def test_a_python_without_lerobot_is_one_sentence(tmp_path):
    with pytest.raises(lerobot.QtxError, match="cannot run /no/python: No such file"):
        lerobot.ask_lerobot("/no/python", "load", str(tmp_path), str(tmp_path))
