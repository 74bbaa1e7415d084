"""The lower part of the report: streams and clocks, gaps, actions over the bins, ranges of the state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from qtx_ros.data.report import svg
from qtx_ros.data.report.collect import Facts
from qtx_ros.data.report.facts import EpisodeFacts
from qtx_ros.data.report.html import Html, tag
from qtx_ros.data.report.totals import ActionFacts
from qtx_ros.data.report.words import axis, key, milliseconds, number, section, share, style, table
from qtx_ros.preprocess import bin_values
from qtx_ros.spec import ActionDimension

TIMELINES = 40  # episodes with a timeline
EACH = 10  # of them the worst by each other order
REASONS = 12  # sentences why steps are invalid
ENTRIES = 100  # state entries in the table

ORDERS: dict[str, tuple[str, Callable[[EpisodeFacts], tuple]]] = {
    "invalid": ("most invalid", lambda e: (e.valid - e.steps, e.name)),
    "gap": ("longest gap", lambda e: (-e.gap, e.name)),
    "human": ("most human", lambda e: (-e.human, e.name)),
    "length": ("longest", lambda e: (-e.steps, e.name)),
    "name": ("by name", lambda e: (e.name,)),
}


# --- streams -----------------------------------------------------------------------------------------------------

def streams(facts: Facts) -> Html:
    """Rate, age, clock offset and silence of each stream."""
    cards = [_stream(facts, i) for i in range(len((*facts.spec.cameras, *facts.spec.states)))]
    others = _other_rates(facts)
    lead = (
        "Age: header stamp to tick, against max_age. Rate: one mark per episode, in the order of their names. "
        "Clock offset: receive time minus header stamp, which is the transport and any difference of the clocks."
    )
    grid = tag("div", _ticks(facts), *cards, *others, class_="grid")
    return section("streams", "Streams and clocks", grid, lead=lead)


def _ticks(facts: Facts) -> Html:
    rates = np.array([e.steps_rate for e in facts.episodes])
    rate = facts.spec.rate
    return tag("div", tag("h3", "ticks"), _rate_plot(rates, rate), _facts([("source", facts.spec.tick)]))


def _stream(facts: Facts, index: int) -> Html:
    stream = (*facts.spec.cameras, *facts.spec.states)[index]
    totals, limit = facts.totals, stream.max_age
    ages = [milliseconds(totals.age_quantile(index, q)) for q in (0.5, 0.95, 0.99)]
    lines = [
        ("age, median · 95 % · 99 %", " · ".join(ages)),
        ("oldest, max_age", f"{milliseconds(float(totals.oldest[index]))}, {milliseconds(limit)}"),
        *_clock(facts, stream.topic),
        *_silence(facts, stream.topic),
    ]
    counts = totals.ages[index]
    third = len(counts) // 3
    early = counts[:third].any()  # stamps in the future
    shown, start = (counts, -limit) if early else (counts[third:], 0.0)
    plot = svg.histogram([("fill", shown)], [("limit", 2 * third if early else third)])
    rates = np.array([e.rates.get(stream.topic, math.nan) for e in facts.episodes])
    return tag(
        "div",
        tag("h3", getattr(stream, "name", stream.topic), tag("span", f" {stream.type}", class_="dim sub")),
        tag("div", plot, class_="base"),
        axis(milliseconds(start), "age of the steps", f"{milliseconds(2 * limit)} or more"),
        _rate_plot(rates, getattr(stream, "min_rate", None)) if np.isfinite(rates).any() else None,
        _facts(lines),
    )


def _facts(lines: list[tuple[str, str]]) -> Html:
    rows = (tag("div", tag("span", f"{name}: ", class_="dim"), value) for name, value in lines)
    return tag("div", *rows, class_="sub")


def _rate_plot(rates: np.ndarray, level: float | None) -> Html:
    known = rates[np.isfinite(rates)]
    if not len(known):
        return tag("p", "no rate is known", class_="dim")
    high = 1.15 * max(float(known.max()), level or 0.0)
    plot = svg.series(rates, 0.0, high, [("limit", level)] if level else [])
    low, middle, top = (number(float(value)) for value in (known.min(), np.median(known), known.max()))
    return tag("div", tag("div", plot, class_="base"), axis(f"{low} to {top} Hz, median {middle} Hz"), class_="small")


def _clock(facts: Facts, topic: str) -> list[tuple[str, str]]:
    clocks = np.array([e.clock[topic] for e in facts.episodes if topic in e.clock])
    if not len(clocks):
        return []
    middle = f"{milliseconds(float(np.median(clocks[:, 1])))} ({_from_to(clocks[:, 1])} over episodes)"
    spread = f"{milliseconds(float(clocks[:, 0].min()))} … {milliseconds(float(clocks[:, 2].max()))}"
    return [("clock offset", middle), ("5 % … 95 % at worst", spread)]


def _silence(facts: Facts, topic: str) -> list[tuple[str, str]]:
    gaps = [(e.gaps[topic], e.name) for e in facts.episodes if topic in e.gaps]
    return [("longest silence", f"{milliseconds(max(gaps)[0])} in {max(gaps)[1]}")] if gaps else []


def _from_to(values: np.ndarray) -> str:
    return f"{milliseconds(float(values.min()))} to {milliseconds(float(values.max()))}"


def _other_rates(facts: Facts) -> list[Html]:
    """Topics the converter measured that are no input: commands, events."""
    known = {stream.topic for stream in (*facts.spec.cameras, *facts.spec.states)}
    cards = []
    for topic in sorted({t for e in facts.episodes for t in e.rates} - known):
        rates = np.array([e.rates.get(topic, math.nan) for e in facts.episodes])
        cards.append(tag("div", tag("h3", topic), _rate_plot(rates, None), _facts(_clock(facts, topic))))
    return cards


# --- gaps --------------------------------------------------------------------------------------------------------

def gaps(facts: Facts) -> Html | None:
    """Timelines of the worst episodes in an order the reader chooses, and why steps are invalid."""
    if not facts.episodes:
        return None
    chosen = _worst(facts)
    length = max(e.steps for e in chosen)
    ranks = {name: {e.name: i for i, e in enumerate(sorted(chosen, key=order))} for name, (_, order) in ORDERS.items()}
    rows = [_timeline(e, length, {f"{name}_rank": ranks[name][e.name] for name in ORDERS}) for e in chosen]
    names = ("episode", "label", f"steps 1 to {length}", "invalid", "gap")
    head = tag("div", *(tag("span", n, class_="n" if i > 2 else None) for i, n in enumerate(names)), class_="row head")
    more = f" The worst {len(chosen)} of {len(facts.episodes)} episodes." if len(chosen) < len(facts.episodes) else ""
    legend = key(("valid", "valid"), ("invalid", "invalid: holds nothing"), ("human", "a human drove"))
    sorter = tag("div", *_sort_buttons(), tag("div", head, *rows, class_="rows"), class_="sort")
    lead = f"Every step of an episode, left to right.{more}"
    return section("gaps", "Gaps and interventions", legend, sorter, _reasons(facts), lead=lead)


def _sort_buttons() -> list[Html]:
    buttons = []
    for name, (text, _) in ORDERS.items():
        checked = {"checked": "checked"} if name == "invalid" else {}
        buttons.append(tag("input", type="radio", name="sort", id=f"sort-{name}", **checked))
        buttons.append(tag("label", text, for_=f"sort-{name}"))
    return buttons


def _worst(facts: Facts) -> list[EpisodeFacts]:
    chosen: dict[str, EpisodeFacts] = {}
    for name, (_, order) in ORDERS.items():
        for episode in sorted(facts.episodes, key=order)[: EACH if name != "invalid" else TIMELINES]:
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


# --- actions and state -------------------------------------------------------------------------------------------

def actions(facts: Facts) -> Html | None:
    """How each action dimension fills its bins."""
    if not facts.totals.valid:
        return None
    found = zip(facts.totals.actions(), facts.spec.dimensions, strict=True)
    lead = "Valid steps in each bin; actions outside the range are clipped to the outermost bin. Upright line: zero."
    return section(
        "actions", "Actions over the bins", tag("div", *(_action(a, d) for a, d in found), class_="grid"), lead=lead
    )


def _action(action: ActionFacts, dimension: ActionDimension) -> Html:
    edges = np.zeros_like(action.counts)
    edges[0], edges[-1] = (round(s * action.counts.sum()) for s in (action.below, action.above))
    layers = [("out", np.minimum(edges, action.counts)), ("fill", np.maximum(action.counts - edges, 0))]
    zero = [] if action.zero is None else [("zero", action.zero + 0.5)]
    values = bin_values(dimension)
    idle = "" if action.idle is None else f"{share(action.idle)} in the zero bin, "
    used = f"{action.used} of {dimension.bins} bins used"
    clipped = tag("span", f"{share(action.outside)} clipped", class_="flag" if action.outside > 0.01 else None)
    dead = tag("span", " · never moves", class_="flag") if action.used == 1 else None
    return tag(
        "div",
        tag("h3", action.name, tag("span", f" {dimension.mode}", class_="dim sub")),
        tag("div", svg.histogram(layers, zero), class_="base"),
        axis(number(values[0]), number(values[-1])),
        tag("div", idle, clipped, ", ", used, dead, class_="sub"),
    )


def state(facts: Facts) -> Html | None:
    """The range of each state entry."""
    sample, totals = facts.totals.states(), facts.totals
    if not len(sample):
        return None
    quantiles = np.percentile(sample, [1, 50, 99], axis=0)  # [3, S]
    rows = []
    for i, name in enumerate(facts.spec.state_names[:ENTRIES]):
        low, high, (p1, p50, p99) = float(totals.low[i]), float(totals.high[i]), quantiles[:, i]
        still = tag("span", "constant", class_="flag")
        plot = svg.span(low, high, (low, high), (p1, p99), p50) if high > low else still
        rows.append([name, number(low), number(p1), plot, number(p99), number(high), number(float(sample[:, i].std()))])
    head = ["entry", "lowest", "1 %", "median and middle 98 %", "99 %", "highest", "deviation"]
    return section("state", "State", table(head, rows, (1, 2, 4, 5, 6)))
