"""When a message counts as lost, for sequences of looks that the wire could give."""

from __future__ import annotations

import pytest

pytest.importorskip("cyclonedds")

from qtx_ros.ros.dds.losses import LOOKS, Tally  # noqa: E402


def look(tally: Tally, newest: int, taken: int, times: int = 1, start: float = 0.0) -> None:
    for i in range(times):
        tally.look(taken, newest, taken, start + 0.2 * i)


def test_what_stays_missing_is_lost() -> None:
    tally = Tally()
    look(tally, 100, 40)
    look(tally, 110, 47, times=LOOKS)
    assert tally.lost == 3


def test_a_message_under_way_is_not_lost() -> None:
    tally = Tally()
    for i in range(50):
        look(tally, 100 + i, 40 + i - i % 2, start=i)
    assert tally.lost == 0


def test_messages_taken_while_the_number_was_asked_for_do_not_move_the_base() -> None:
    tally = Tally()
    tally.look(40, 100, 40, 0.0)
    tally.look(40, 100, 41, 0.5)
    look(tally, 101, 41, times=3 * LOOKS, start=1.0)
    assert tally.lost == 0


def test_losses_add_up() -> None:
    tally = Tally()
    look(tally, 1, 1)
    look(tally, 5, 4, times=LOOKS, start=1)
    look(tally, 9, 6, times=LOOKS, start=10)
    assert tally.lost == 3
