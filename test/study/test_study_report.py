"""What a report says of known rows."""

from qtx_ros.study import plots, tables
from qtx_ros.study.report import put_into
from qtx_ros.study.results import FACTS, Result


def rows(method: str, means: dict[int, float], variant: str = "", mix: str = "stitching") -> list[Result]:
    facts = {**dict.fromkeys(FACTS, ""), "train_s": "10", "cpu_s": "20"}
    keys = {"study": "toy", "mix": mix, "method": method, "variant": variant}
    scores = {seed: {"a": mean - 0.1, "b": mean + 0.1} for seed, mean in means.items()}
    return [Result({**keys, "seed": str(seed)}, scores[seed], facts) for seed in means]


def test_a_line_holds_mean_interval_seeds_and_tasks():
    table = tables.scores_table(tables.group(rows("q", {2: 0.6, 1: 0.8})))
    assert table.splitlines()[0] == "| Data | Method | n | Mean [95 %] | Per seed | a | b | Train | CPU |"
    half = 12.7062 * 0.1  # of two values 0.2 apart
    expected = f"**0.70 [{0.7 - half:.2f}, {0.7 + half:.2f}]** | 0.80 0.60 | 0.60 | 0.80 | 10 s | 20 s |"
    assert table.splitlines()[2] == f"| stitching | q | 2 | {expected}"


def test_methods_are_compared_on_the_seeds_that_both_have():
    groups = tables.group(rows("q", {1: 0.9, 2: 0.8, 3: 0.7}) + rows("iql", {2: 0.5, 3: 0.6, 4: 0.0}))
    table = tables.tests_table(groups)
    assert "| stitching | q − iql | 2 | +0.20 [" in table and table.endswith("| 0.500 |")  # signs: 2 of 4
    assert tables.tests_table(tables.group(rows("q", {1: 0.9}) + rows("iql", {1: 0.5}))) == ""


def test_methods_on_other_data_are_not_compared():
    groups = tables.group(rows("q", {1: 0.9, 2: 0.8}) + rows("iql", {1: 0.5, 2: 0.6}, mix="plain"))
    assert tables.tests_table(groups) == ""


def test_a_variant_is_compared_with_its_method():
    groups = tables.group(rows("q", {1: 0.9, 2: 0.8}) + rows("q", {1: 0.3, 2: 0.1}, "no-conservatism"))
    assert "| stitching | no-conservatism | q no-conservatism − q | 2 | -0.65 [" in tables.variants_table(groups, {})


def test_a_variant_is_compared_with_the_one_that_its_row_names():
    seeds = {"bins-21": {1: 0.8, 2: 0.9}, "bins-255": {1: 0.7, 2: 0.6}}
    groups = tables.group([row for name, scores in seeds.items() for row in rows("q", scores, name)])
    table = tables.variants_table(groups, {"bins-21": "", "bins-255": "bins-21"})
    assert table.count("\n") == 2 and "| stitching | bins-255 | q bins-255 − q bins-21 | 2 | -0.20 [" in table


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
