"""The same serialised messages, read as the live node reads them and as the converter does, give the same arrays."""

import numpy as np
import pytest

from qtx_ros import ros
from qtx_ros.bench.bags import TYPES, Script, script_messages, write_bag
from qtx_ros.data.align import Aligner, Ticker
from qtx_ros.data.convert import Options, convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.data.messages import stamp_ns
from qtx_ros.spec import Spec


def observations(spec, items, decode):
    """Every tick's observation and action, the way a live node makes them: message by message."""
    aligner, ticker = Aligner(spec), Ticker(spec)
    seen, actions = [], []
    for item in items:
        for tick in ticker.before(item.receive_ns):
            seen.append(aligner.observe(tick))
            if len(seen) > 1:
                actions.append(aligner.action(seen[-2].tick_ns, tick))
        message = decode(item)
        aligner.push(item.topic.lstrip("/"), item.receive_ns, message)
        ticker.push(item.topic.lstrip("/"), item.receive_ns, stamp_ns(message))
    return seen, actions


@pytest.mark.parametrize("robot", ["sawyer_sim", "six_joint"])
def test_live_and_recorded_messages_give_equal_arrays(robot, tmp_path):
    spec = Spec.load(robot)
    script = Script(spec, seconds=1.5)
    items = list(script_messages(script))
    live, live_actions = observations(spec, items, lambda item: ros.deserialize(item.data, item.type))
    bag, bag_actions = observations(spec, items, lambda item: TYPES.deserialize_cdr(memoryview(item.data), item.type))
    assert len(live) == len(bag) >= 12
    for a, b in zip(live, bag, strict=True):
        assert a.problems == b.problems and a.ages_ns == b.ages_ns and a.instruction == b.instruction
        assert a.state.tobytes() == b.state.tobytes()
        assert {name: frame.tobytes() for name, frame in a.frames.items()} == {
            name: frame.tobytes() for name, frame in b.frames.items()
        }
    assert [None if a is None else a.tobytes() for a in live_actions] == [
        None if a is None else a.tobytes() for a in bag_actions
    ]
    check_stored(spec, script, live, live_actions, tmp_path)


def check_stored(spec, script, live, actions, tmp_path):
    """What the converter stored is what the live node saw."""
    (row,) = convert([write_bag(tmp_path, "bag", script)], Options(tmp_path / "set", spec, codec="raw"))
    assert row.status == "converted"
    stored = Dataset.open(tmp_path / "set").episodes[0]
    by_tick = {o.tick_ns: (o, a) for o, a in zip(live, [*actions, None], strict=True)}
    compared = 0
    for step, tick in enumerate(stored.columns.tick[:-1]):
        observation, action = by_tick[int(tick)]
        for camera in spec.cameras:
            assert (stored.frame(camera.name, step) == observation.frames[camera.name]).all()
        assert (stored.columns.state[step] == observation.state.astype(np.float32)).all()
        assert (stored.columns.action[step] == action.astype(np.float32)).all()
        compared += 1
    assert compared >= 10
