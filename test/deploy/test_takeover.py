"""Who drives, by the clock."""

from qtx_ros.deploy.takeover import PATIENCE_NS, Takeover


def test_a_human_drives_while_the_teleop_says_so():
    takeover = Takeover()
    assert not takeover.human(0) and not takeover.lost(0)
    takeover.hear(True, 1_000)
    assert takeover.human(1_000 + PATIENCE_NS) and not takeover.lost(1_000 + PATIENCE_NS)
    takeover.hear(False, 2_000)
    assert not takeover.human(2_000) and not takeover.lost(10**12)


def test_a_silent_teleop_hands_nothing_back():
    takeover = Takeover()
    takeover.hear(True, 0)
    late = PATIENCE_NS + 1_000_000
    assert not takeover.human(late)
    assert takeover.lost(late) == "the teleop that took over has been silent for 501 ms, limit 500 ms"
    takeover.hear(False, late)
    assert not takeover.lost(late)


def test_a_clock_set_back_is_silence_too():
    takeover = Takeover()
    takeover.hear(True, 10**12)
    assert not takeover.human(0) and takeover.lost(0)
