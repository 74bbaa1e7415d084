"""What a report says of known rows."""

import json
from dataclasses import replace

from qtx_ros import config as configs
from qtx_ros.cli import main
from qtx_ros.study import plots, tables
from qtx_ros.study.plan import Row, load_study
from qtx_ros.study.report import page, put_into
from qtx_ros.study.results import FACTS, RESULTS, Result, write_results


def rows(method: str, means: dict[int, float], variant: str = "", mix: str = "stitching") -> list[Result]:
    facts = {**dict.fromkeys(FACTS, ""), "train_s": "10", "cpu_s": "20"}
    keys = {"study": "toy", "mix": mix, "method": method, "variant": variant}
    scores = {seed: {"a": mean - 0.1, "b": mean + 0.1} for seed, mean in means.items()}
    return [Result({**keys, "seed": str(seed)}, scores[seed], facts) for seed in means]


def test_a_line_holds_mean_interval_seeds_and_tasks():
    table = tables.scores_table(tables.group(rows("q", {2: 0.6, 1: 0.8, 3: 0.7})))
    assert table.splitlines()[0] == "| Data | Method | n | Mean [95 %] | Per seed | a | b | Train | CPU |"
    half = 4.3027 * 0.1 / 3**0.5  # of three values 0.1 apart
    expected = f"**0.700 [{0.7 - half:.3f}, {0.7 + half:.3f}]** | 0.800 0.600 0.700 | 0.600 | 0.800 | 10 s | 20 s |"
    assert table.splitlines()[2] == f"| stitching | q | 3 | {expected}"


def test_methods_are_compared_on_the_seeds_that_both_have():
    groups = tables.group(rows("q", {1: 0.9, 2: 0.8, 3: 0.7, 5: 0.9}) + rows("iql", {2: 0.5, 3: 0.6, 4: 0.0, 5: 0.7}))
    table = tables.tests_table(groups)
    assert "| stitching | q − iql | 3 | +0.200 [" in table and table.endswith("| 0.250 |")  # signs: 2 of 8
    assert tables.tests_table(tables.group(rows("q", {1: 0.9, 2: 0.8}) + rows("iql", {1: 0.5, 2: 0.5}))) == ""


def test_methods_on_other_data_are_not_compared():
    groups = tables.group(rows("q", {1: 0.9, 2: 0.8, 3: 0.9}) + rows("iql", {1: 0.5, 2: 0.6, 3: 0.7}, mix="plain"))
    assert tables.tests_table(groups) == ""


def test_a_variant_is_compared_with_its_method():
    groups = tables.group(rows("q", {1: 0.9, 2: 0.8, 3: 0.7}) + rows("q", {1: 0.3, 2: 0.1, 3: 0.05}, "no-conservatism"))
    assert "| stitching | no-conservatism | q no-conservatism − q | 3 | -0.650 [" in tables.variants_table(groups, {})


def test_a_variant_is_compared_with_the_one_that_its_row_names():
    seeds = {"bins-21": {1: 0.8, 2: 0.9, 3: 0.7}, "bins-255": {1: 0.7, 2: 0.6, 3: 0.5}}
    groups = tables.group([row for name, scores in seeds.items() for row in rows("q", scores, name)])
    table = tables.variants_table(groups, {"bins-21": "", "bins-255": "bins-21"})
    assert table.count("\n") == 2 and "| stitching | bins-255 | q bins-255 − q bins-21 | 3 | -0.200 [" in table


def test_bins_are_ordered_as_numbers():
    groups = tables.group([r for n in (255, 21, 63) for r in rows("q", {1: 0.5}, f"after-bins-{n}")])
    assert [name.rsplit("-", 1)[1] for name in tables.ordered(groups)] == ["21", "63", "255"]


def test_curves_are_drawn_only_where_bins_vary(tmp_path):
    assert not plots.plot_bins(tables.group(rows("q", {1: 0.5})), tmp_path / "none.png", "success rate")
    groups = tables.group(rows("q", {1: 0.5, 2: 0.6}, "before-bins-21") + rows("q", {1: 0.4}, "after-bins-21"))
    assert plots.plot_bins(groups, tmp_path / "bins.png", "success rate")
    assert (tmp_path / "bins.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_takes_a_report_where_it_says_so(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- toy -->\nold\n<!-- /toy -->\nafter\n")
    for _ in range(2):
        put_into(page, "toy", "new")
        assert page.read_text() == "before\n<!-- toy -->\n\nnew\n\n<!-- /toy -->\nafter\n"
    put_into(page, "other", "nothing")
    assert "nothing" not in page.read_text()
    put_into(tmp_path / "none.md", "toy", "new")
    assert not (tmp_path / "none.md").exists()


def test_a_report_of_other_settings_or_mixed_data_is_refused(tmp_path, capsys):
    study = load_study("smoke")
    (tmp_path / "study.json").write_text(json.dumps(configs.dump(study)))
    digest = study.run("stitching.q.101").digest()
    for facts, said in (
        ([{"config_digest": "other"}], "other settings"),
        ([{"config_digest": digest, "data_digest": name} for name in "ab"], "different data (a, b)"),
    ):
        made = [replace(row, facts={**row.facts, "cpu_s": "1", **more}) for row, more in zip(
            rows("q", {101 + i: 0.5 for i in range(len(facts))}), facts, strict=True)]  # fmt: skip
        write_results(tmp_path / RESULTS, made)
        assert main(["study", "report", str(tmp_path), "-o", str(tmp_path / "report")]) == 1
        assert said in capsys.readouterr().err


def test_settings_name_all_that_a_row_does_otherwise():
    study = load_study("smoke")
    changed = (Row(bins=21, curve=1.5), Row(name="even", bins=21, training={"gamma": 0.5, "model": {"width": 64}}))
    study = replace(study, rows=changed, training={"model": {"width": 128}})
    facts = {**dict.fromkeys(FACTS, ""), "train_s": "1", "cpu_s": "1", "episodes": "1"}
    text = page(study, [replace(row, facts=facts) for row in rows("q", {1: 0.5})], [], "")
    line = next(line for line in text.splitlines() if line.startswith("| even |"))
    assert '{"gamma": 0.5, "model": {"width": 64}, "curve": 1.0}' in line
