"""One trial of one fault: inject at a random phase, find the first command that keeps the robot in place, let go."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass

import numpy as np

from qtx_ros.bench.fault_cases import DRIVES, HOLDS, Case, Terms
from qtx_ros.bench.rig import Heard, Rig
from qtx_ros.bench.scripted_robot import positions
from qtx_ros.errors import QtxError

ARM = slice(0, 7)
EXACT = 3e-4  # [rad] a hold repeats a measured position; the grid of times it is looked for on is 0.5 ms
NEAR = 0.05  # [rad] so far one joint swings between two ticks
REACH = 0.18  # [rad] a motion leads no further from the joint it names than its largest bin, and the arm's own swing
BEFORE = 0.6  # [s] a held position was measured no longer ago
WAIT = 7.0  # [s] for a hold, beyond what was promised
AGAIN = 30.0  # [s] until the policy must drive again, starting a process included


@dataclass(frozen=True)
class Trial:
    """What one injection led to. Times in ms."""

    measured: float  # to the first hold; of a fault that is driven through: longest time without a command
    again: float  # from the end of the fault (or re-arming) to the first motion
    reason: str  # that was given
    problem: str = ""  # what was wrong besides the time


def run(rig: Rig, case: Case, phase: random.Random) -> Trial:
    """Wait until the policy drives, inject, measure, let go, wait until it drives again."""
    rig.wait(rig.drives, "the policy does not drive", AGAIN)
    time.sleep(phase.uniform(0.0, 4 / rig.spec.rate))
    rig.ears.forget()
    said = len(rig.watchdog.log())
    began = case.begin(rig)
    held = _wait_for_hold(rig, case, began)
    time.sleep(case.seconds)
    reason = _reason(rig, case, began, rig.watchdog.log()[said:])
    until = time.monotonic_ns()
    problem = _problem(rig, case, began, held, until, reason)
    ended = case.end(rig)
    if case.latched:
        problem, ended = problem or _stays(rig), _rearm(rig)
    again = _wait_for_motion(rig, ended)
    measured = _longest_silence(rig, began, until) if held is None else held - began
    return Trial(measured / 1e6, (again - ended) / 1e6, reason, problem)


def keeps(command: Heard) -> bool:
    """Whether a command is a position that the arm had within the last moments; a broken joint may be from earlier."""
    times = command.at_ns / 1e9 - np.arange(0.0, BEFORE, 5e-4)
    away = np.sort(np.abs(positions(times)[:, ARM] - command.values[ARM]), axis=1)
    return bool(((away[:, -2] < EXACT) & (away[:, -1] < NEAR)).any())


def holds(commands: list[Heard]) -> list[bool]:
    """Which commands hold: a position just measured, or the hold before once more."""
    found: list[bool] = []
    for i, command in enumerate(commands):
        repeats = bool(found) and found[-1] and np.array_equal(command.values[ARM], commands[i - 1].values[ARM])
        found.append(repeats or keeps(command))
    return found


def within_reach(command: Heard) -> bool:
    """Whether a motion is one from where the joints of these names are."""
    return bool((np.abs(positions(command.at_ns / 1e9)[ARM] - command.values[ARM]) < REACH).all())


def _wait_for_hold(rig: Rig, case: Case, began: int) -> int | None:
    """When the hold for the expected reason began [ns], else any hold; None for a fault that is driven through."""
    if case.expected != HOLDS:
        return None
    end = time.monotonic() + case.promise.seconds(Terms.of(rig.spec)) + WAIT
    while time.monotonic() < end:
        told = began if case.silent else _told(rig, case, began)
        if told is not None and (start := _start_of_hold(rig, began, told)) is not None:
            return start
        time.sleep(0.01)
    start = _start_of_hold(rig, began, began)
    if start is None:
        raise QtxError(f"no hold was commanded within {end - began / 1e9:.1f} s")
    return start


def _told(rig: Rig, case: Case, began: int) -> int | None:
    """When a decision first gave the expected reason [ns]."""
    decisions = _since(rig.ears.decisions, began)
    return next((d.at_ns for d in decisions if d.hold and re.search(case.reason, d.reason)), None)


def _start_of_hold(rig: Rig, began: int, told: int) -> int | None:
    """When the holding began that is under way at a moment, or the first after it [ns]."""
    commands, start = _since(rig.ears.commands, began), None
    for command, hold in zip(commands, holds(commands), strict=True):
        if hold and start is None:
            start = command.at_ns
        elif not hold and command.at_ns < told:
            start = None
    return start


def _wait_for_motion(rig: Rig, ended: int) -> int:
    """When the first motion after a moment came [ns]."""

    def moves() -> list[Heard]:
        commands = _since(rig.ears.commands, ended)
        return [c for c, hold in zip(commands, holds(commands), strict=True) if not hold and within_reach(c)]

    rig.wait(lambda: bool(moves()), "the policy does not drive again", AGAIN)
    return moves()[0].at_ns


def _since(heard: list[Heard], moment: int, until: int | None = None) -> list[Heard]:
    return [one for one in list(heard) if one.at_ns >= moment and (until is None or one.at_ns <= until)]


def _reason(rig: Rig, case: Case, began: int, watchdog: str) -> str:
    """The reason that fits, or the first one given."""
    reasons = [d.reason for d in _since(rig.ears.decisions, began) if d.hold]
    if case.silent:
        reasons = re.findall(r"holding the robot: (.*)", watchdog)
    fitting = [reason for reason in reasons if case.reason and re.search(case.reason, reason)]
    return [*fitting, *reasons, ""][0]


def _problem(rig: Rig, case: Case, began: int, held: int | None, until: int, reason: str) -> str:
    """What is wrong with the commands and the reason; empty: nothing."""
    commands = _since(rig.ears.commands, began, until)
    kept = holds(commands)
    astray = [c for c, hold in zip(commands, kept, strict=True) if not hold and not within_reach(c)]
    if astray:
        return f"{len(astray)} commands lead further from a joint than a motion can"
    if case.expected == DRIVES:
        return f"holds: {reason}" if any(kept) else ""
    if case.expected != HOLDS:
        return ""
    if not re.search(case.reason, reason):
        return f"reason is {reason!r}"
    released = [c for c, hold in zip(commands, kept, strict=True) if c.at_ns > held and not hold]
    return f"{len(released)} motions during the hold" if released and not case.simulated else ""


def _longest_silence(rig: Rig, began: int, until: int) -> float:
    moments = [began, *(command.at_ns for command in _since(rig.ears.commands, began, until)), until]
    return float(np.diff(moments).max())


def _stays(rig: Rig) -> str:
    """A latch must not end by itself."""
    moment = time.monotonic_ns()
    time.sleep(0.5)
    later = _since(rig.ears.decisions, moment + 200_000_000)
    return "" if later and all(decision.hold for decision in later) else "the hold ended before ~/rearm"


def _rearm(rig: Rig) -> int:
    refused: list[str] = []
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        moment = time.monotonic_ns()
        refused.append(rig.ears.rearm())
        if not refused[-1]:
            return moment
        time.sleep(0.05)
    raise QtxError(f"~/rearm refuses: {refused[-1]}")
