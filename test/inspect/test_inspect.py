"""A bag replayed through a tiny bundle: its ticks, its memory, what is compared, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import expected_bins, write_tiny_bundle

from qtx_ros.bags.reader import open_bag
from qtx_ros.bench.bags import Script, write_bag
from qtx_ros.cli import main
from qtx_ros.data.convert import Options, convert
from qtx_ros.data.dataset import Dataset
from qtx_ros.deploy.policy import Policy
from qtx_ros.inspect.compare import Inspected, agreement, sentence, worst
from qtx_ros.inspect.live import Live, likeliest
from qtx_ros.inspect.page import render
from qtx_ros.inspect.replay import replay
from qtx_ros.inspect.steps import walk
from qtx_ros.spec import Spec

TEXT = "push the button"


@pytest.fixture(scope="module", params=["sawyer_sim", "six_joint"])
def spec(request):
    return Spec.load(request.param)


@pytest.fixture(scope="module")
def recorded(spec, tmp_path_factory):
    """A bag with a gap, a bundle for its robot, and the replay of the one through the other."""
    folder = tmp_path_factory.mktemp("inspect")
    script = Script(spec, seconds=4.0, gap=(1.5, 2.4), success_at=3.5, contract=True, label="success")
    bag = write_bag(folder, "bag", script)
    bundle = write_tiny_bundle(folder / "tiny", spec)
    return bag, bundle, replayed(bag, bundle)


def replayed(bag, bundle, interventions=(), **options):
    policy = Policy.load(bundle)
    with open_bag(bag) as opened:
        (mark,) = opened.marks()
        mark = replace(mark, interventions=interventions)
        return replay(policy, opened.messages(policy.spec, mark), mark, **options)


def test_the_policy_remembers_what_a_live_one_would_and_forgets_it_at_a_gap(spec, recorded):
    bag, _, found = recorded
    with open_bag(bag) as opened:
        (mark,) = opened.marks()
        steps = list(walk(spec, opened.messages(spec, mark)))
    seen = []
    for i, bins in enumerate(found.bins):
        observation = steps[i].observation
        if observation is None or observation.problems:
            seen = []
            assert (bins == -1).all() and found.reasons[i]
        else:
            seen.append(float(np.mean([frame.mean() for frame in observation.frames.values()])))
            assert bins.tolist() == expected_bins(spec, seen, TEXT).tolist()
    assert 5 < found.chosen.sum() < len(found.tick) - 2


def test_what_was_done_is_what_the_converter_stores(spec, recorded, tmp_path):
    bag, _, found = recorded
    convert([bag], Options(tmp_path / "set", spec))
    (episode,) = Dataset.open(tmp_path / "set").episodes
    columns = episode.columns
    at = {int(tick): i for i, tick in enumerate(found.tick)}
    valid = [i for i in range(len(columns.tick)) if columns.valid[i]]
    same = [at[int(columns.tick[i])] for i in valid]
    np.testing.assert_array_equal(columns.action[valid], found.taken[same].astype(np.float32))
    assert found.label == "success" and at[int(columns.tick[-1])] == len(found.tick) - 1


def test_the_return_is_what_the_rewards_after_a_tick_are_worth(recorded):
    bag, bundle, _ = recorded
    found = replayed(bag, bundle, gamma=0.5)
    assert found.returned[-1] == 1 and found.returned[-3] == 0.25


def test_where_a_human_drove_is_marked_and_the_policy_is_asked_all_the_same(recorded):
    bag, bundle, found = recorded
    first = int(found.tick[0])
    taken_over = replayed(bag, bundle, interventions=((first + 500_000_000, first + 1_000_000_000),))
    seconds = taken_over.seconds[taken_over.human]
    assert len(seconds) and seconds.min() >= 0.5 and seconds.max() < 1.0
    np.testing.assert_array_equal(taken_over.bins, found.bins)


def test_a_bag_without_marks_is_split_and_keeps_the_instruction_said_before(spec, tmp_path, capsys):
    bag = write_bag(tmp_path, "bag", Script(spec, seconds=3.0))
    bundle = write_tiny_bundle(tmp_path / "tiny", spec)
    found = tmp_path / "found.json"
    more = ["--out", str(tmp_path), "--json", str(found), "--split"]
    assert main(["inspect", str(bag), "--bundle", str(bundle), *more, "gap:1"]) == 0
    assert [e["episode"] for e in json.loads(found.read_text())["episodes"]] == ["000"]
    assert main(["inspect", str(bag), "--bundle", str(bundle), *more, "events"]) == 0
    (episode,) = json.loads(found.read_text())["episodes"]
    assert episode["instruction"] == TEXT and episode["compared"] > 10


def test_a_policy_agrees_with_itself_and_the_worst_tick_is_where_it_does_not(spec, recorded):
    _, _, found = recorded
    same = replace(found, taken=found.values.copy(), taken_bins=found.bins.copy())
    assert (agreement(same).exact == 1).all() and (agreement(same).off == 0).all() and not worst(same, 5)
    tick = int(np.flatnonzero(same.chosen)[-2])
    dimension = spec.dimensions[1]
    upper = found.values[tick, 1] > (dimension.low + dimension.high) / 2
    same.taken[tick, 1] = dimension.low if upper else dimension.high
    same.taken_bins[tick, 1] = 0 if upper else dimension.bins - 1
    assert worst(same, 5) == [tick]
    text = sentence(same, tick)
    assert f"move {dimension.name} " in text and f"recorded {same.taken[tick, 1]:+.3g}" in text
    assert f"t = {found.seconds[tick]:.2f} s" in text
    assert agreement(same).exact[1] == pytest.approx(1 - 1 / same.chosen.sum())


def test_the_verb_prints_a_table_and_writes_page_and_json(recorded, tmp_path, capsys):
    bag, bundle, found = recorded
    arguments = ["inspect", str(bag), "--bundle", str(bundle), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--json", str(tmp_path / "found.json")]) == 0
    assert f"written to {tmp_path / 'out' / 'inspect.html'}" in capsys.readouterr().out
    (episode,) = json.loads((tmp_path / "found.json").read_text(), parse_constant=_no_constant)["episodes"]
    assert episode["compared"] == found.both.sum() and episode["decisions"]["choices"] == 0
    assert "<svg" in (tmp_path / "out" / "inspect.html").read_text()


def _no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_nothing_in_a_bag_becomes_markup(recorded):
    _, bundle, found = recorded
    evil = "<script>alert(1)</script>"
    reasons = tuple(evil if reason else "" for reason in found.reasons)
    live = Live(2, 1, 1, differing=((int(found.tick[3]), evil),))
    page = render([Inspected(evil, evil, replace(found, instruction=evil, reasons=reasons), live)], _manifest(bundle))
    assert "<script" not in page and "&lt;script&gt;" in page


def test_an_episode_in_which_the_policy_would_always_hold_is_told_of(spec, tmp_path, capsys):
    late = dict.fromkeys((c.topic for c in spec.cameras), -0.5)
    bag = write_bag(tmp_path, "bag", Script(spec, seconds=1.5, clock_ahead=late, contract=True))
    bundle = write_tiny_bundle(tmp_path / "tiny", spec)
    assert main(["inspect", str(bag), "--bundle", str(bundle), "--out", str(tmp_path)]) == 0
    assert "policy would hold: camera" in capsys.readouterr().out


def test_what_may_have_been_the_inputs_is_tried_with_the_newest_messages_first():
    ranks = list(likeliest([3, 100, 2]))
    assert ranks[0] == (0, 0, 0) and set(ranks[1:4]) == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    assert len(ranks) == len(set(ranks)) == 600 and sorted(map(sum, ranks)) == list(map(sum, ranks))
    assert list(likeliest([2])) == [(0,), (1,)] and list(likeliest([3, 0])) == []


def _manifest(bundle):
    return Policy.load(bundle).manifest


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bundle": "nowhere/at_all"}, "is not a bundle"),
        ({"bundle": "OTHER"}, "does not fit robot"),
        ({"split": "instruction"}, ""),
        ({"split": "sometimes"}, "split is 'sometimes', expected one of"),
        ({"bag": "nowhere"}, "there is no bag"),
        ({"bag": "CUT"}, "qtx recover saves what can be saved"),
    ],
)
def test_what_cannot_be_inspected_is_said_in_a_sentence(recorded, tmp_path, capsys, change, sentence):
    bag, bundle, found = recorded
    other = Spec.load("six_joint" if found.spec.name == "sawyer_sim" else "sawyer_sim")
    given = {"bag": str(bag), "bundle": str(bundle), "split": "", **change}
    if given["bundle"] == "OTHER":
        given["bundle"] = str(write_tiny_bundle(tmp_path / "other", other))
    if given["bag"] == "CUT":
        given["bag"] = str(tmp_path / "cut.mcap")
        data = next(bag.glob("*.mcap")).read_bytes()
        (tmp_path / "cut.mcap").write_bytes(data[: len(data) // 2])
    arguments = ["--bundle", given["bundle"], "--split", given["split"], "--out", str(tmp_path)]
    status, error = main(["inspect", given["bag"], *arguments]), capsys.readouterr().err
    assert status == int(bool(sentence)) and sentence in error and error.count("\n") == int(bool(sentence))
