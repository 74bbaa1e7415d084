"""`qtx bench faults` over the real wire, and what it takes for a hold."""

import json

import numpy as np
import pytest

from qtx_ros.bench import fault_report
from qtx_ros.bench.fault_cases import CASES
from qtx_ros.bench.fault_report import Row
from qtx_ros.bench.fault_trial import Trial, holds, within_reach
from qtx_ros.bench.faulty_sensors import FAULTS
from qtx_ros.bench.rig import Heard
from qtx_ros.bench.scripted_robot import positions
from qtx_ros.cli import main

SOME = {
    "camera: black": "camera 'front' shows nothing",
    "a joint is NaN": "state 'joint_states' holds NaN",
    "joints in another order": "",
    "policy: SIGSTOP, SIGCONT": "the policy moved the robot and has been silent",
}


def test_faults_on_the_wire_end_in_holds_with_their_reasons(capsys):
    only = [word for name in SOME for word in ("--only", name)]
    assert main(["bench", "faults", "--trials", "1", "--slack", "10", *only]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {row["fault"]: row for row in report["rows"]}
    assert rows.keys() == SOME.keys() and report["broken"] == []
    for name, reason in SOME.items():
        assert rows[name]["reason"].startswith(reason), rows[name]
        assert len(rows[name]["measured_ms"]) == 1 and rows[name]["measured_ms"][0] > 0


def test_a_hold_is_a_position_just_measured_and_its_repetition():
    still = np.array(positions(9.9))
    late = [Heard(int(seconds * 1e9), still) for seconds in (10.0, 11.0)]
    assert holds(late) == [True, True]
    assert holds(late[1:]) == [False]  # the arm has long been elsewhere


def test_a_motion_and_mixed_up_joints_are_no_hold():
    step = Heard(10 * 10**9, positions(10.0) + 0.15)
    mixed = Heard(10 * 10**9, positions(10.0)[::-1])
    assert holds([step, mixed]) == [False, False]
    assert within_reach(step) and not within_reach(mixed)


def test_a_hold_that_comes_late_or_says_something_else_breaks_the_promise(capsys):
    late, wrong = Trial(51.0, 1.0, "r"), Trial(1.0, 1.0, "r", "reason is 'r'")
    assert Row(CASES[0], 50.0, (late,)).problems == ["too late: 51 ms"]
    assert fault_report.conclude([Row(CASES[0], 50.0, (wrong,))]) == 1
    assert fault_report.conclude([Row(CASES[0], 52.0, (late,))]) == 0


def test_the_table_replaces_what_stands_between_its_markers(tmp_path):
    page, row = tmp_path / "page.md", Row(CASES[0], 200.0, (Trial(120.0, 10.0, "a | b"),))
    page.write_text(f"before\n{fault_report.BEGIN}\n1999\n{fault_report.END}\nafter\n")
    fault_report.write(page, [row], 1)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "1999" not in text
    assert "| camera stops | hold |" in text and "| 200 | 120 | 120 | 10 | `a / b` |" in text


def test_a_page_without_a_place_for_the_table_is_refused(tmp_path, capsys):
    with pytest.raises(Exception, match="has no place for the table"):
        fault_report.write(tmp_path / "none.md", [], 1)


def test_unknown_faults_are_refused(capsys):
    assert main(["bench", "faults", "--only", "earthquake"]) == 1
    assert "no fault is named earthquake, there are: camera stops" in capsys.readouterr().err


def test_faults_have_names_of_their_own():
    assert len({case.name for case in CASES}) == len(CASES) and len(FAULTS) == 20
