"""Timelines: where an episode has no valid step, where a human drove, where a camera stood still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from qtx_ros.data.report import svg
from qtx_ros.data.report.collect import Facts
from qtx_ros.data.report.facts import EpisodeFacts
from qtx_ros.data.report.html import Html, tag
from qtx_ros.data.report.words import key, section, share, style, table

TIMELINES = 30  # episodes with a timeline because of invalid steps
EACH = 6  # episodes by each other order
REASONS = 12  # sentences why steps are invalid

ORDERS: dict[str, tuple[str, Callable[[EpisodeFacts], tuple]]] = {
    "invalid": ("most invalid", lambda e: (e.valid - e.steps, e.name)),
    "gap": ("longest gap", lambda e: (-e.gap, e.name)),
    "human": ("most human", lambda e: (-e.human, e.name)),
    "length": ("longest", lambda e: (-e.steps, e.name)),
    "name": ("by name", lambda e: (e.name,)),
}


def gaps(facts: Facts) -> Html | None:
    """Timelines of the worst episodes in an order the reader chooses, and why steps are invalid."""
    if not facts.episodes:
        return None
    chosen, odd = _worst(facts), any(e.human or e.valid < e.steps for e in facts.episodes)
    length = max(e.steps for e in chosen)
    ranks = {name: {e.name: i for i, e in enumerate(sorted(chosen, key=order))} for name, (_, order) in ORDERS.items()}
    rows = [_timeline(e, length, {f"{name}_rank": ranks[name][e.name] for name in ORDERS}) for e in chosen]
    names = ("episode", "label", f"steps 1 to {length}", "invalid", "gap")
    head = tag("div", *(tag("span", n, class_="n" if i > 2 else None) for i, n in enumerate(names)), class_="row head")
    more = f" {len(chosen)} of {len(facts.episodes):,} episodes." if len(chosen) < len(facts.episodes) else ""
    more = more if odd else f" No step is invalid, no human drove.{more}"
    legend = key(("valid", "valid"), ("invalid", "invalid: holds nothing"), ("human", "a human drove"))
    sorter = tag("div", *_sort_buttons(), tag("div", head, *rows, class_="rows"), class_="sort")
    lead = f"Every step of an episode, left to right.{more}"
    return section("gaps", "Gaps and interventions", legend, sorter, _reasons(facts), _frozen(facts), lead=lead)


def _sort_buttons() -> list[Html]:
    buttons = []
    for name, (text, _) in ORDERS.items():
        checked = {"checked": "checked"} if name == "invalid" else {}
        buttons.append(tag("input", type="radio", name="sort", id=f"sort-{name}", **checked))
        buttons.append(tag("label", text, for_=f"sort-{name}"))
    return buttons


def _worst(facts: Facts) -> list[EpisodeFacts]:
    """Those with invalid steps, worst first, and a few by each other order."""
    lacking = [e for e in facts.episodes if e.valid < e.steps]
    chosen = {e.name: e for e in sorted(lacking, key=ORDERS["invalid"][1])[:TIMELINES]}
    for _, order in ORDERS.values():
        for episode in sorted(facts.episodes, key=order)[:EACH]:
            chosen.setdefault(episode.name, episode)
    return list(chosen.values())


def _timeline(episode: EpisodeFacts, length: int, ranks: dict[str, int]) -> Html:
    lost = episode.steps - episode.valid
    return tag(
        "div",
        tag("span", episode.name, title=episode.name),
        tag("span", episode.label or "–", class_="dim"),
        svg.strip(episode.strip, length),
        tag("span", f"{lost:,}" if lost else "–", class_="n"),
        tag("span", f"{episode.gap:.2f} s" if episode.gap else "–", class_="n"),
        class_="row",
        style=style(**ranks),
    )


def _reasons(facts: Facts) -> Html | None:
    counts: Counter[str] = Counter()
    for episode in facts.episodes:
        counts.update(episode.invalid)
    worst = counts.most_common(REASONS)
    rows = [[sentence, f"{count:,}", share(count / max(facts.steps, 1))] for sentence, count in worst]
    return table(["why steps are invalid", "steps", "of all"], rows, (1, 2)) if rows else None


def _frozen(facts: Facts) -> Html | None:
    stood = [(seconds, camera, e.name) for e in facts.episodes for camera, seconds in e.frozen.items()]
    rows = [[name, camera, f"{seconds:.2f} s"] for seconds, camera, name in sorted(stood, reverse=True)[:REASONS]]
    return table(["the same picture while the arm moved", "camera", "for"], rows, (2,)) if rows else None
