"""`qtx bench crash`: a killed recorder costs at most a second of the running episode and nothing of finished ones."""

import json

from qtx_ros.cli import main


def test_a_kill_costs_at_most_a_second_and_no_finished_episode(capsys):
    assert main(["bench", "crash", "--trials", "2", "--seconds", "2"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(report["rows"]) == 2 and report["worst_lost_s"] <= 1.0
    for row in report["rows"]:
        assert row["finished"] == 2 and row["readable"] and row["holes"] == 0 and row["problems"] == []
        assert row["kept"] > 0 or row["after"] < 1.0


def test_figures_that_measure_nothing_are_refused(capsys):
    assert main(["bench", "crash", "--trials", "0"]) == 1
    assert "--trials is 0" in capsys.readouterr().err
