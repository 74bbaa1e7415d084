"""Actions over the bins of each dimension, and the range of each entry of the state."""

from __future__ import annotations

import numpy as np

from qtx_ros.data.report import svg
from qtx_ros.data.report.collect import Facts
from qtx_ros.data.report.html import Html, tag
from qtx_ros.data.report.totals import ActionFacts
from qtx_ros.data.report.words import axis, number, section, share, table
from qtx_ros.preprocess import bin_values
from qtx_ros.spec import ActionDimension

ENTRIES = 100  # state entries in the table


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
