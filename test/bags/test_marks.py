"""Which episodes a bag holds: by marks, instructions, events and gaps. Times are in nanoseconds."""

from types import SimpleNamespace

import pytest

from qtx_ros.bags.marks import (
    LABEL,
    START,
    STOP,
    parse_split,
    read_marks,
    split_by_events,
    split_by_gap,
    split_by_instruction,
)
from qtx_ros.errors import QtxError

S = 1_000_000_000


def event(kind, episode="a", **fields):
    blank = {"instruction": "", "label": "", "comment": "", "contract": "", "problems": []}
    return SimpleNamespace(event=kind, episode=episode, **{**blank, **fields})


def spans(marks):
    return [(mark.episode, mark.start_ns, mark.stop_ns) for mark in marks]


def test_marks_give_start_stop_and_what_was_said():
    start, stop = event(START, instruction="push", contract="{}"), event(STOP, label="failure", problems=["slow"])
    (mark,) = read_marks([(5, start), (9, stop), (12, event(LABEL, label="success", comment="it did"))])
    assert (mark.start_ns, mark.stop_ns, mark.instruction, mark.contract) == (5, 9, "push", "{}")
    assert (mark.label, mark.comment, mark.problems, mark.accepted) == ("success", "it did", ("slow",), False)


def test_a_start_without_a_stop_lasts_to_the_next_start_or_the_end():
    marks = read_marks([(5, event(START, "a")), (9, event(START, "b"))])
    assert spans(marks) == [("a", 5, 8), ("b", 9, None)]


def test_marked_episodes_never_overlap_and_a_late_stop_still_tells_its_problems():
    stops = [(7, event(STOP, "a", problems=["gap"])), (9, event(STOP, "b"))]
    marks = read_marks([(1, event(START, "a")), (5, event(START, "b")), *stops])
    assert spans(marks) == [("a", 1, 4), ("b", 5, 9)]
    assert marks[0].problems == ("gap",)


def test_stops_and_labels_without_a_start_say_nothing():
    assert read_marks([(1, event(STOP)), (2, event(LABEL, label="success"))]) == []


def test_the_first_stop_counts_and_a_second_start_begins_anew():
    assert spans(read_marks([(1, event(START)), (3, event(STOP)), (8, event(STOP))])) == [("a", 1, 3)]
    assert spans(read_marks([(1, event(START)), (3, event(STOP)), (8, event(START))])) == [("a", 8, None)]


def test_each_instruction_begins_an_episode_a_repeated_one_too_and_an_empty_one_ends_it():
    marks = split_by_instruction([(1, "open"), (5, "open"), (8, ""), (9, "close")])
    assert spans(marks) == [("000", 1, 4), ("001", 5, 7), ("002", 9, None)]
    assert [mark.instruction for mark in marks] == ["open", "open", "close"]


def test_events_that_end_an_episode_split_there():
    marks = split_by_events([(1, False), (5, True), (6, False), (9, True), (10, False)])
    assert spans(marks) == [("000", None, 5), ("001", 6, 9), ("002", 10, None)]


def test_an_end_said_repeatedly_is_one_end():
    marks = split_by_events([(1, False), (5, True), (6, True), (7, True), (8, False), (9, True)])
    assert spans(marks) == [("000", None, 5), ("001", 8, 9)]


def test_ends_that_are_far_apart_are_several_though_nothing_else_is_said():
    assert spans(split_by_events([(5 * S, True), (9 * S, True)])) == [("000", None, 5 * S), ("001", 5 * S + 1, 9 * S)]


def test_a_bag_without_an_end_is_one_episode():
    assert spans(split_by_events([(1, False), (2, False)])) == spans(split_by_events([])) == [("000", None, None)]


def test_silence_longer_than_the_gap_splits():
    times = [0, S, 2 * S, 5 * S, 6 * S, 20 * S]
    assert spans(split_by_gap(times, 2.5)) == [("000", 0, 2 * S), ("001", 5 * S, 6 * S), ("002", 20 * S, 20 * S)]
    assert spans(split_by_gap(times, 3.0)) == [("000", 0, 6 * S), ("001", 20 * S, 20 * S)]
    assert split_by_gap([], 1.0) == []


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("", ("marks", 0)), ("marks", ("marks", 0)), ("none", ("none", 0)), ("gap:2.5", ("gap", 2.5))],
)
def test_split_is_read(text, meaning):
    assert parse_split(text) == meaning


@pytest.mark.parametrize("text", ["gap", "gap:", "gap:-1", "gap:nan", "gap:inf", "gap:x", "event", "none:1"])
def test_a_split_that_makes_no_sense_is_one_sentence_with_the_choices(text):
    with pytest.raises(QtxError, match="expected one of marks, instruction, events, gap:SECONDS, none"):
        parse_split(text)
