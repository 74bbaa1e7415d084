"""The budget of a tick."""

import time

from qtx_ros.deploy.stages import Stopwatch, budget

MS = 1_000_000


def test_a_budget_by_hand():
    laps = {"network": 3 * MS, "publish": MS // 2}
    expected = {"transport": 4.0, "wait": 1.0, "network": 3.0, "publish": 0.5}
    assert budget(100 * MS, 104 * MS, 105 * MS, laps) == expected
    assert budget(0, 104 * MS, 105 * MS, laps) == {"network": 3.0, "publish": 0.5}


def test_laps_are_the_time_between_them():
    watch, began = Stopwatch(), time.perf_counter_ns()
    time.sleep(0.01)
    watch.lap("network")
    watch.lap("shape")
    watch.lap("network")
    total = time.perf_counter_ns() - began
    assert list(watch.laps) == ["network", "shape"]
    assert 10 * MS <= watch.laps["network"] and 0 < sum(watch.laps.values()) <= total + MS
