from qtx_ros.deploy.health import ERROR, OK, WARN, Health

MS = 1_000_000


def ticking(count, period=50 * MS):
    health = Health("CPU", 50 * MS)
    for i in range(count):
        health.tick(i * period)
        health.decided((10 + i) * MS)
    return health


def test_rate_and_latency_are_measured():
    values = ticking(11).report(True).values
    assert values["tick rate [Hz]"] == "20.00"
    assert values["camera to command p50 [ms]"] == "15.00"
    assert values["camera to command max [ms]"] == "20.00"
    assert values["decisions"] == "11" and values["missed ticks"] == "0"


def test_left_out_periods_are_missed_ticks_but_a_pause_is_not():
    health = ticking(2)
    health.tick(50 * MS + 150 * MS)
    assert health.missed == 2
    health.pause()
    health.tick(10_000 * MS)
    assert health.missed == 2


def test_a_hold_is_an_error_until_a_decision_ends_it():
    health = ticking(3)
    assert health.report(True).level == OK
    assert health.held("camera is late")
    assert not health.held("camera is later")
    report = health.report(True)
    assert (report.level, report.message) == (ERROR, "holds: camera is later")
    assert health.decided(None)
    assert health.report(True).level == OK
    assert health.report(True).values["holds"] == "2"


def test_waiting_for_an_instruction_is_only_a_warning():
    health = ticking(1)
    health.held("no instruction on 'instruction' yet")
    assert health.report(True).level == WARN


def test_an_inactive_node_is_well():
    assert ticking(0).report(False).message == "not active"
