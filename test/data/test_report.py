"""report.html: what it says, that it says it safely, that it stays small."""

from html.parser import HTMLParser

import numpy as np
import pytest
from small_set import SPEC, add_episode, small_set

from qtx_ros.cli import main
from qtx_ros.data.conversion import Row
from qtx_ros.data.index import write_index
from qtx_ros.data.report import write_report
from qtx_ros.data.report.collect import collect
from qtx_ros.data.report.findings import find
from qtx_ros.data.report.totals import Totals

HOSTILE = "<script>alert(1)</script><img src=http://evil/x onerror=alert(1)>\"' onload=alert(1) x=\" \u202e\x00\ud800"


class Page(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def sentences(root, rows=()):
    return [found.sentence for found in find(collect(root, rows))]


def check_harmless(page):
    allowed = {
        "html", "head", "meta", "title", "style", "body", "main", "header", "section", "nav", "footer", "h1", "h2",
        "h3", "p", "div", "span", "b", "br", "a", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td",
        "figure", "figcaption", "img", "svg", "path", "rect", "line", "input", "label",
    }  # fmt: skip
    for tag, attributes in page.elements:
        assert tag in allowed
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
        assert attributes.get("href", "#").startswith("#")


def test_texts_of_strangers_stay_texts(tmp_path):
    name = '" onclick="alert(2)"><b onclick=alert(2)>'
    root = add_episode(tmp_path, name, instruction=HOSTILE, lost=[3])
    add_episode(root, "other", label=HOSTILE, instruction=HOSTILE.upper(), source={"bag": HOSTILE, "key": {}})
    manifest = {"invalid": {HOSTILE: 3}, "clock": {HOSTILE: {"median": 0.1}}, "rates": {HOSTILE: 9.0}}
    add_episode(root, "third", **manifest)
    rows = [Row(HOSTILE, "failed", HOSTILE), Row("b", "discarded")]
    page = Page(write_report(root, rows))
    check_harmless(page)
    assert "<script>alert(1)</script>" in page.text and name in page.text
    assert "\u202e" not in page.text and "\\u202e" in page.text


def test_the_page_forbids_itself_everything_from_outside(tmp_path):
    page = Page(write_report(small_set(tmp_path)))
    check_harmless(page)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script" not in policy


def test_a_sound_set_needs_no_warning(tmp_path):
    root = small_set(tmp_path, 6)
    assert sentences(root) == []
    assert "Nothing stands out" in Page(write_report(root)).text


def test_equal_sets_give_equal_pages(tmp_path):
    first, second = (small_set(tmp_path / part / "set") for part in ("a", "b"))
    assert write_report(first).read_bytes() == write_report(second).read_bytes()


def test_refused_recordings_stand_there_with_their_sentence(tmp_path):
    rows = [Row("bags/x", "failed", "the clock is off"), Row("bags/y", "discarded"), Row("bags/z", "converted")]
    root = small_set(tmp_path)
    text = Page(write_report(root, rows)).text
    assert "bags/x" in text and "the clock is off" in text and "1 discarded" in text and "bags/z" not in text
    assert sentences(root, rows) == ["1 recording could not be used"]


def test_a_damaged_episode_is_a_row(tmp_path):
    root = small_set(tmp_path)
    (root / "e001" / "state.npy").write_bytes(b"no array")
    (root / "e002" / "manifest.json").write_text("[1, 2]")
    text = Page(write_report(root)).text
    assert "2 episodes cannot be read: e002, e001" in text and "e001/state.npy" in text


def test_a_camera_that_stands_still_while_the_arm_moves_is_named(tmp_path):
    root = small_set(tmp_path)
    frames = {c.name: np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8) for c in SPEC.cameras}
    frames["wrist"][4:9] = frames["wrist"][4]
    add_episode(root, "frozen", frames=frames)
    assert sentences(root) == ["camera 'wrist' frozen for 0.4 s in frozen while the arm moved (1 episode in all)"]


def test_actions_outside_the_bins_and_dead_dimensions_are_named(tmp_path):
    action = np.zeros((50, 2))
    action[:, 1] = np.linspace(-1, 1, 50)
    action[:6, 1] = 1.5
    root = add_episode(tmp_path, "e", 50, action=action)
    found = sentences(root)
    assert "12 % of the actions of grip are outside the bins" in found
    assert "dimension a never leaves its zero bin" in found


def test_shares_of_actions_are_counted_exactly(tmp_path):
    action = np.array([[0.0, -1.2], [0.0, 0.0], [1.0, 0.5], [-2.0, 1.01]])
    root = add_episode(tmp_path, "e", 4, action=action)
    a, grip = collect(root).totals.actions()
    assert (a.below, a.above, a.idle, a.counts.tolist()) == (0.25, 0, 0.5, [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1])
    assert (grip.below, grip.above, grip.counts.tolist()) == (0.25, 0.25, [1, 0, 1, 1, 1])


def test_slow_motion_that_the_bins_round_to_standing_still_is_named(tmp_path):
    action = np.tile([0.09, 0.5], (60, 1))  # a's bins are 0.2 wide: rounded to zero
    moving = {"state": np.outer(np.arange(60), [0.09, 0.0])}
    root = add_episode(tmp_path, "creeps", 60, action=action, **moving)
    add_episode(root, "stands", 60, action=action, state=np.zeros((60, 2)))
    add_episode(root, "strides", 60, action=np.tile([0.11, 0.5], (60, 1)), **moving)
    assert collect(root).totals.creeping == 59
    lost = "33 % of the steps move the robot with all joints in the zero bin: a policy would stand still there"
    assert f"{lost}; more bins, or a curve above 1, would resolve slow motion" in sentences(root)


def test_ages_are_counted_against_their_limit():
    totals = Totals(SPEC)
    age = np.full((100, 3), 0.015)
    age[:10, 0], age[90:, 1], age[5, 2] = 0.14, np.nan, -0.02
    totals._add_ages(age)
    assert totals.age_quantile(0, 0.5) == pytest.approx(0.015, abs=0.002)
    assert totals.age_quantile(0, 0.95) == pytest.approx(0.14, abs=0.002)
    assert totals.ages.sum(1).tolist() == [100, 90, 100] and totals.oldest.tolist() == [0.14, 0.015, 0.015]


def test_lopsided_labels_spelling_and_duplicates_are_named(tmp_path):
    root = small_set(tmp_path, 2)
    for k in range(18):
        add_episode(root, f"s{k}", instruction="Push." if k == 0 else "push")
    add_episode(root, "f", label="failure")
    add_episode(root, "n", label="", source={"key": {"sha256": "f 0", "mark": ""}})
    assert sentences(root) == [
        "without a label: 1 of 22 episodes; they count as cut, not as failed",
        "only 1 of 22 episodes is labelled failure",
        "these instructions differ only in spelling: “Push.”, “push”",
        "duplicates: 1 episode (f)",
    ]


def test_clocks_and_rates_that_differ_between_episodes_are_named(tmp_path):
    root = small_set(tmp_path, 0)
    for k in range(4):
        clock = {"joints": {"median": -0.002 if k == 2 else 0.01, "p5": 0.0, "p95": 0.02}}
        rates = {"joints": 60.0 if k == 1 else 100.0}
        add_episode(root, f"e{k}", clock=clock, rates=rates, gaps={"joints": {"longest": 2}})
    assert sentences(root) == [
        "the clock of joints is ahead of the recorder's by 2 ms in the worst episode",
        "rates of joints differ between episodes: 60.0 to 100.0 Hz, median 100.0 Hz",
    ]
    assert "longest silence 2.00 s in e3" in Page(write_report(root)).text


def test_timelines_can_be_sorted_worst_first(tmp_path):
    root = small_set(tmp_path, 3)
    add_episode(root, "gaps", lost=[3, 4, 5, 8])
    add_episode(root, "human", lost=[5], human=[6, 7])
    page = Page(write_report(root))
    rows = [a["style"] for tag, a in page.elements if a.get("class") == "row"]
    invalid, human = ([int(r.split(f"--{key}-rank:")[1].split(";")[0]) for r in rows] for key in ("invalid", "human"))
    assert invalid == [0, 1, 2, 3, 4] and human.index(0) == 1
    assert [a["id"] for tag, a in page.elements if tag == "input" and "checked" in a] == ["sort-invalid"]


def test_many_episodes_stay_a_small_page(tmp_path):
    few = write_report(small_set(tmp_path, 24)).stat().st_size
    for k in range(12):
        add_episode(tmp_path, f"more{k}", lost=[k % 10 + 1])
    assert write_report(tmp_path).stat().st_size < 1.2 * few < 200_000


def test_an_empty_set_has_a_page(tmp_path):
    root = small_set(tmp_path, 1)
    (root / "e000" / "manifest.json").unlink()
    write_index(root, SPEC)
    assert "the set holds no episode" in Page(write_report(root)).text


def test_the_report_is_written_anew_on_request(tmp_path, capsys):
    root = small_set(tmp_path)
    assert main(["data", "report", str(root)]) == 0
    assert capsys.readouterr().out.strip() == str(root / "report.html")
    assert main(["data", "report", str(tmp_path / "nothing")]) == 1
