import dataclasses

import pytest

from qtx_ros.errors import QtxError
from qtx_ros.paths import share
from qtx_ros.spec import Spec
from qtx_ros.study.plan import Row, Study, changed_spec, load_study, merge, parse_seeds

MIXES = {"plain": {"demo": 2, "failure": 3}, "stitching": {"stitch-demo": 4, "failure": 1}}
STUDY = Study("toy", "sawyer_state", MIXES, ("q", "bc-demos"), seeds="1-2")


def test_every_method_sees_a_seed_before_the_next_seed():
    keys = [run.key for run in STUDY.runs()]
    assert keys[:4] == ["plain.q.1", "plain.bc-demos.1", "stitching.q.1", "stitching.bc-demos.1"]
    assert keys[4:] == [key[:-1] + "2" for key in keys[:4]]


def test_an_operator_makes_as_much_as_the_largest_mix_needs():
    assert STUDY.operators() == {"demo": 2, "failure": 3, "stitch-demo": 4}


def test_a_rows_settings_win_over_the_methods_and_those_over_the_studys():
    study = dataclasses.replace(
        STUDY,
        training={"steps": 7, "gamma": 0.9, "model": {"width": 32}},
        settings={"q": {"gamma": 0.95, "alpha": 0.5}},
        rows=(Row(), Row("soft", methods=("q",), bins=11, history=3, training={"alpha": 0.1, "model": {"heads": 2}})),
    )
    config, spec = study.run("plain.q.soft.9").config(), study.run("plain.q.soft.9").spec()
    assert (config.method, config.steps, config.gamma, config.alpha) == ("q", 7, 0.95, 0.1)
    assert (config.model.width, config.model.heads) == (32, 2)
    assert {d.bins for d in spec.dimensions} == {11} and spec.history == 3
    assert study.run("plain.bc-demos.1").config().episodes == "demonstrations"


def test_the_digest_tells_settings_apart_and_not_seeds_nor_how_a_default_is_written():
    def digest(**changes):
        return dataclasses.replace(STUDY, **changes).run("plain.q.1").digest()

    assert digest() == STUDY.run("plain.q.2").digest() == digest(training={"weight_decay": 1e-3}) == digest(seeds="7")
    others = [digest(training={"steps": 7}), digest(episodes=3), digest(mixes={**MIXES, "plain": {"demo": 1}})]
    assert len({digest(), *others, digest(rows=(Row(bins=11),))}) == 5


def test_seeds_are_lists_and_ranges():
    assert parse_seeds("1-3,7, 2") == [1, 2, 3, 7]
    for text in ("", "3-1", "a", "1-", "1;2"):
        with pytest.raises(QtxError, match="expected something like 1-5"):
            parse_seeds(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ("sarsa",)}, "'sarsa', expected one of q, bc-demos"),
        ({"rows": (Row(mixes=("mixed",)),)}, "'mixed', expected one of plain, stitching"),
        ({"rows": (Row(), Row(methods=("q",)))}, "plain.q.1 twice"),
        ({"rows": (Row("more", against="less"),)}, "'less', expected one of more"),
        ({"rows": (Row("a.b"),)}, "'a.b' is no name for a file"),
        ({"arena": "moon"}, "'moon', expected one of arm"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises(QtxError, match=said):
        dataclasses.replace(STUDY, **changes)


def test_an_unknown_key_of_the_training_is_named_with_its_place():
    study = dataclasses.replace(STUDY, training={"stepz": 1})
    with pytest.raises(QtxError, match="study 'toy', plain.q: unknown key 'stepz'"):
        study.run("plain.q.1").digest()


def test_inner_mappings_are_merged_and_not_replaced():
    assert merge({"a": 1, "m": {"x": 1, "y": 2}}, {"m": {"y": 3}, "b": 4}) == {"a": 1, "b": 4, "m": {"x": 1, "y": 3}}


def test_a_robot_keeps_everything_but_its_bins_curve_and_history():
    spec = Spec.load("sawyer_state")
    other = changed_spec(spec, 64, None, 2.0)
    assert {d.curve for d in other.dimensions} == {2.0} and other.digest() != changed_spec(spec, 64, None).digest()
    assert changed_spec(other, 21, spec.history, 1.0) == spec and other.history == spec.history


@pytest.mark.parametrize("path", sorted(share("config/study").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_hold_only_known_settings(path):
    study = load_study(path.stem)
    assert study.name == path.stem
    for group in {run.group: run for run in study.runs()}.values():
        assert len(group.digest()) == 12 and group.spec().dimensions


def test_what_is_recommended_for_pictures_is_what_was_studied():
    from qtx_ros.learn.train import read_config

    assert read_config("images") == load_study("arm_images").run("stitching.q.1").config()
