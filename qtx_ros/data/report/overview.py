"""The top of the report: what matters at a glance, what to look at, what was refused, pictures, instructions."""

from __future__ import annotations

import numpy as np

from qtx_ros.data.report import svg
from qtx_ros.data.report.collect import Facts
from qtx_ros.data.report.facts import EpisodeFacts, twins
from qtx_ros.data.report.findings import Finding
from qtx_ros.data.report.html import Html, tag
from qtx_ros.data.report.thumbnails import pictures, sample
from qtx_ros.data.report.words import LABELS, axis, key, section, share, size, table

REFUSED = 200  # rows of refused bags on the page
SHOTS = 8  # episodes with pictures, of each label
TEXTS = 60  # instructions in the table


def header(facts: Facts) -> Html:
    """Name, numbers, labels."""
    spec, episodes = facts.spec, facts.episodes
    failed = len(facts.refused) - facts.discarded
    tiles = [
        (f"{len(episodes):,}", "episodes"),
        (f"{facts.steps:,}", f"steps at {spec.rate:g} Hz"),
        (f"{sum(e.seconds for e in episodes) / 60:.1f}", "minutes"),
        (share(facts.valid / facts.steps) if facts.steps else "–", "of the steps valid"),
        (share(sum(e.human for e in episodes) / facts.steps) if facts.steps else "–", "driven by a human"),
        *([(f"{failed:,}", "recordings refused or failed")] if facts.converted else []),
        (size(sum(e.bytes for e in episodes)), "on disk"),
    ]
    counts = [(name, facts.count(label)) for name, label in LABELS]
    texts = [(name, f"{facts.count(label):,} {label or 'without a label'}") for name, label in LABELS]
    discarded = tag("span", f"{facts.discarded:,} discarded", class_="key") if facts.discarded else None
    return tag(
        "header",
        tag("h1", f"{facts.folder.resolve().name}: {spec.name}"),
        tag("div", "training set for the robot description ", tag("code", spec.digest()), class_="sub"),
        tag("div", *(tag("div", tag("b", value), tag("span", text), class_="tile") for value, text in tiles),
            class_="tiles"),
        tag("div", svg.shares(counts), tag("div", key(*texts), discarded), class_="labels", id="labels"),
    )  # fmt: skip


def look_first(found: list[Finding]) -> Html:
    """The findings, worst first."""
    if not found:
        return tag("p", "Nothing stands out: no gap, no clipped action, no odd clock, no lopsided labels.")
    lines = [
        tag("li", tag("span", w.level, class_=f"level {w.level}"),
            tag("a", w.sentence, href=f"#{w.section}"))
        for w in found
    ]  # fmt: skip
    return tag("ul", *lines, class_="warn")


def refused(facts: Facts) -> Html | None:
    """Recordings that gave no episode, each with its sentence."""
    rows = [[row.bag, row.status, row.reason or "labelled to be thrown away"] for row in facts.refused]
    rows += [[name, "damaged", sentence] for name, sentence in facts.broken.items()]
    if not rows:
        return None
    rows.sort(key=lambda row: row[1] == "discarded")
    more = f"; the first {REFUSED} of {len(rows)}" if len(rows) > REFUSED else ""
    shown = [[tag("code", bag), status, reason] for bag, status, reason in rows[:REFUSED]]
    return section(
        "refused", "Refused recordings", table(["recording", "", "why"], shown), lead=f"They gave no episode{more}."
    )


def thumbnails(facts: Facts) -> Html | None:
    """Failures and successes side by side: first, middle and last picture."""
    columns = []
    for _, label in LABELS:
        chosen = sample([e for e in facts.episodes if e.label == label], SHOTS)
        if chosen:
            shots = [_shot(facts, e) for e in chosen]
            title = tag("h3", f"{label or 'without a label'}, {len(chosen)} of {facts.count(label)}")
            columns.append(tag("div", title, tag("div", *shots, class_="shots")))
    lead = "First, middle and last picture of a sample, spread over instructions and time, as the policy sees them."
    return section("pictures", "Pictures", tag("div", *columns, class_="two"), lead=lead) if columns else None


def _shot(facts: Facts, episode: EpisodeFacts) -> Html:
    words = f"{episode.instruction or 'no instruction'} · {episode.steps} steps"
    caption = tag("figcaption", words, tag("br"), episode.name)
    images = tag("div", *pictures(facts.folder, facts.spec, episode), class_="row3")
    return tag("figure", images, caption, class_="shot")


def instructions(facts: Facts) -> Html | None:
    """Success per instruction."""
    groups: dict[str, list[EpisodeFacts]] = {}
    for episode in facts.episodes:
        groups.setdefault(episode.instruction, []).append(episode)
    ordered = sorted(groups.items(), key=lambda item: (_success(item[1]), -len(item[1]), item[0]))
    rows = [_instruction(text, episodes) for text, episodes in ordered[:TEXTS]]
    more = f" The {TEXTS} worst of {len(ordered)} instructions." if len(ordered) > TEXTS else ""
    head = ["instruction", "episodes", "success", "", "median steps", "human"]
    lead = f"Worst first; success among the labelled episodes.{more}"
    return section("instructions", "Success per instruction", table(head, rows, (1, 2, 4, 5)), lead=lead)


def _success(episodes: list[EpisodeFacts]) -> float:
    judged = [e for e in episodes if e.label]
    return sum(e.label == "success" for e in judged) / len(judged) if judged else 0.0


def _instruction(text: str, episodes: list[EpisodeFacts]) -> list[object]:
    parts = [(name, sum(e.label == label for e in episodes)) for name, label in LABELS]
    steps = sorted(e.steps for e in episodes)
    human = sum(e.human for e in episodes) / max(sum(steps), 1)
    judged = any(e.label for e in episodes)
    rate = share(_success(episodes)) if judged else "–"
    shown = text or tag("span", "none", class_="dim")
    driven = share(human) if human else "–"
    return [shown, f"{len(episodes):,}", rate, svg.shares(parts), steps[len(steps) // 2], driven]


def duplicates(facts: Facts) -> Html | None:
    """Episodes that are the same recording, or hold the same frames and actions."""
    groups = twins(list(facts.episodes))
    if not groups:
        return None
    rows = [[", ".join(e.name for e in group), group[0].bag] for group in groups[:50]]
    lead = f"The same recording, or the same frames and actions: {len(groups)} groups."
    return section("duplicates", "Duplicates", table(["episodes", "recording of the first"], rows), lead=lead)


def lengths(facts: Facts) -> Html | None:
    """Lengths and returns of the episodes by label."""
    if not facts.episodes:
        return None
    return section(
        "lengths",
        "Lengths and returns",
        tag("div", _spread(facts, "steps", [e.steps for e in facts.episodes], whole=True),
            _spread(facts, "sum of rewards", [e.reward for e in facts.episodes]), class_="two"),
    )  # fmt: skip


def _spread(facts: Facts, title: str, values: list[float], whole: bool = False) -> Html:
    """Stacked histogram of one number per episode."""
    low, high = float(min(values)), float(max(values))
    count = int(min(40, high - low + 1)) if whole else 40
    edges = np.linspace(low, high if high > low else low + 1, max(count, 1) + 1)
    by_label = [
        (name, np.histogram([v for v, e in zip(values, facts.episodes, strict=True) if e.label == label], edges)[0])
        for name, label in LABELS
    ]
    middle = f"median {float(np.median(values)):.4g}"
    plot = tag("div", svg.histogram(by_label), class_="base")
    return tag("div", tag("h3", title), plot, axis(f"{low:.4g}", middle, f"{high:.4g}"))
