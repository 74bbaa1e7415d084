from qtx_ros.sim.pacer import Pacer

MS = 1_000_000


def test_steps_follow_the_clock_however_often_it_is_asked():
    pacer = Pacer(10 * MS, now_ns=0)
    assert sum(pacer.due(k * MS * 5 // 2)[0] for k in range(1, 401)) == 100


def test_a_late_call_is_made_up_for_without_a_burst():
    pacer = Pacer(10 * MS, now_ns=0, at_once=2, max_behind_ns=100 * MS)
    assert [pacer.due(51 * MS)[0] for _ in range(4)] == [2, 2, 1, 0]


def test_what_cannot_be_made_up_is_given_up_and_said():
    pacer = Pacer(10 * MS, now_ns=0, at_once=2)
    assert pacer.due(5000 * MS) == (2, 4970 * MS)
    assert pacer.due(5000 * MS)[0] <= 1
