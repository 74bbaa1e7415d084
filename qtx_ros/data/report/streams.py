"""Streams: how old they were at the ticks, how fast they came, how far their clocks were off."""

from __future__ import annotations

import math

import numpy as np

from qtx_ros.data.report import svg
from qtx_ros.data.report.collect import Facts
from qtx_ros.data.report.html import Html, tag
from qtx_ros.data.report.words import axis, milliseconds, number, section
from qtx_ros.spec import Camera, StateStream


def streams(facts: Facts) -> Html:
    """A row for each stream: what is known, its ages, its rate over the episodes."""
    inputs = (*facts.spec.cameras, *facts.spec.states)
    known = {stream.topic for stream in inputs}
    others = sorted({topic for e in facts.episodes for topic in e.rates} - known)  # commands, events
    rows = [_input(facts, i, stream) for i, stream in enumerate(inputs)] + [_other(facts, topic) for topic in others]
    lead = (
        "Age: header stamp to tick; the upright line is max_age. Rate: a mark for each episode in the order of their "
        "names. Clock offset: receive time minus header stamp, that is transport and any difference of the clocks."
    )
    return section("streams", "Streams and clocks", _ticks(facts), *rows, lead=lead)


def _ticks(facts: Facts) -> Html:
    rates = np.array([e.steps_rate for e in facts.episodes])
    given = f"the robot's file asks for {facts.spec.rate:g} Hz"
    source = "a fixed grid" if facts.spec.tick == "timer" else f"the frames of '{facts.spec.tick}'"
    return _row("ticks", source, [("", given)], None, _rates(rates, facts.spec.rate), None)


def _input(facts: Facts, index: int, stream: Camera | StateStream) -> Html:
    rates = np.array([e.rates.get(stream.topic, math.nan) for e in facts.episodes])
    lines = [*_clock(facts, stream.topic), *_silence(facts, stream.topic)]
    name = getattr(stream, "name", stream.topic)
    ages, offsets = _ages(facts, index, stream.max_age), _offsets(facts, stream.topic)
    return _row(name, stream.type, lines, ages, _rates(rates, stream.min_rate), offsets)


def _other(facts: Facts, topic: str) -> Html:
    rates = np.array([e.rates.get(topic, math.nan) for e in facts.episodes])
    lines = [*_clock(facts, topic), *_silence(facts, topic)]
    return _row(topic, "", lines, None, _rates(rates, None), _offsets(facts, topic))


def _row(name: str, kind: str, lines: list[tuple[str, str]], *plots: Html | None) -> Html:
    """`plots`: ages, rates, offsets."""
    words = [tag("div", f"{what} " if what else None, tag("b", value)) for what, value in lines]
    return tag(
        "div",
        tag("div", tag("h3", name), tag("div", kind, class_="dim"), *words, class_="sub"),
        tag("div", plots[0]),
        tag("div", *plots[1:], class_="small"),
        class_="stream",
    )


def _ages(facts: Facts, index: int, limit: float) -> Html:
    totals, counts = facts.totals, facts.totals.ages[index]
    third = len(counts) // 3
    early = bool(counts[:third].any())  # stamps in the future
    shown, start = (counts, -limit) if early else (counts[third:], 0.0)
    plot = svg.histogram([("fill", shown)], [("limit", 2 * third if early else third)])
    quantiles = " · ".join(milliseconds(totals.age_quantile(index, q)) for q in (0.5, 0.95, 0.99))
    oldest = milliseconds(float(totals.oldest[index]))
    return tag(
        "div",
        tag("div", plot, class_="base"),
        axis(milliseconds(start), f"max_age {milliseconds(limit)}", f"{milliseconds(2 * limit)} or more"),
        tag("div", "age at 50 · 95 · 99 % ", tag("b", f"{quantiles}, oldest {oldest}"), class_="sub"),
    )


def _rates(rates: np.ndarray, level: float | None) -> Html | None:
    known = rates[np.isfinite(rates)]
    if not len(known):
        return None
    low, middle, top = (number(float(value)) for value in (known.min(), np.median(known), known.max()))
    plot = svg.series(rates, 0.0, 1.15 * max(float(known.max()), level or 0.0), [("limit", level)] if level else [])
    words = f"{low} Hz in every episode" if low == top else f"{low} to {top} Hz, median {middle} Hz"
    return tag("div", tag("div", plot, class_="base"), axis("rate per episode", words))


def _offsets(facts: Facts, topic: str) -> Html | None:
    offsets = np.array([e.clock[topic][1] if topic in e.clock else math.nan for e in facts.episodes])
    known = offsets[np.isfinite(offsets)]
    if not len(known):
        return None
    low, high = min(float(known.min()), 0.0), max(float(known.max()), 0.0)
    room = 0.15 * (high - low)
    plot = svg.series(offsets, low - room, high + room, [("zero", 0.0)])
    return tag("div", plot, axis("clock offset per episode", _reach(known)))


def _reach(values: np.ndarray) -> str:
    low, high = milliseconds(float(values.min())), milliseconds(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _clock(facts: Facts, topic: str) -> list[tuple[str, str]]:
    clocks = np.array([e.clock[topic] for e in facts.episodes if topic in e.clock])  # [episodes, 3]
    if not len(clocks):
        return []
    middle = clocks[:, 1]
    jitter = milliseconds(float(np.median(clocks[:, 2] - clocks[:, 0])))
    offset = milliseconds(float(np.median(middle)))
    return [("clock offset", offset), ("between episodes", _reach(middle)), ("jitter, 5 to 95 %", jitter)]


def _silence(facts: Facts, topic: str) -> list[tuple[str, str]]:
    worst = max(((e.gaps[topic], e.name) for e in facts.episodes if topic in e.gaps), default=None)
    return [("longest silence", f"{worst[0]:.2f} s in {worst[1]}")] if worst else []
