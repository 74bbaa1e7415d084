"""What a study found, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qtx_ros.study.plan import group_name
from qtx_ros.study.results import Result
from qtx_ros.study.statistics import FEWEST, compare, number, summarise

OURS = "q"  # what the others are compared with
Groups = dict[str, list[Result]]  # mix.method.variant → one result per seed


def group(results: Sequence[Result]) -> Groups:
    """Results by what differs in the seed only, each ordered by seed; groups in the order of the results."""
    groups: Groups = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    return {name: sorted(rows, key=lambda row: row.seed) for name, rows in groups.items()}


def scores_table(groups: Groups) -> str:
    """One line per group: mean with its interval, each seed, mean per task, time."""
    tasks = list(next(iter(groups.values()))[0].scores)
    lines = [["Data", "Method", "Variant", "n", "Mean [95 %]", "Per seed", *tasks, "Train", "CPU"]]
    for rows in ordered(groups).values():
        keys = rows[0].keys
        seeds = " ".join(number(row.mean) for row in rows)
        tasks_means = [number(sum(row.scores[task] for row in rows) / len(rows)) for task in tasks]
        mean = f"**{summarise([row.mean for row in rows])}**"
        times = [_seconds(rows, name) for name in ("train_s", "cpu_s")]
        lines.append([keys["mix"], keys["method"], keys["variant"], str(len(rows)), mean, seeds, *tasks_means, *times])
    return markdown(lines)


def tests_table(groups: Groups) -> str:
    """Our method against each other one on the same data, paired by seed; empty if nothing can be paired."""
    lines = [["Data", "Variant", "Compared", "n", "Difference [95 %]", "t-test p", "sign-flip p"]]
    for rows in ordered(groups).values():
        ours = groups.get(group_name(rows[0].keys["mix"], OURS, rows[0].keys["variant"]))
        if ours and rows[0].keys["method"] != OURS:
            lines += _tested(ours, rows, f"{OURS} − {rows[0].keys['method']}")
    return markdown(lines) if len(lines) > 1 else ""


def variants_table(groups: Groups, against: Mapping[str, str]) -> str:
    """Each variant of a method against another one, paired by seed; empty if there is nothing to pair.

    `against` names it by the variant's name; the method itself where it names none.
    """
    lines = [["Data", "Variant", "Compared", "n", "Difference [95 %]", "t-test p", "sign-flip p"]]
    for rows in ordered(groups).values():
        keys = rows[0].keys
        method, other = keys["method"], against.get(keys["variant"], "")
        plain = groups.get(group_name(keys["mix"], method, other))
        if plain and other != keys["variant"]:
            lines += _tested(rows, plain, f"{method} {keys['variant']} − {' '.join(filter(None, (method, other)))}")
    return markdown(lines) if len(lines) > 1 else ""


def _tested(first: list[Result], second: list[Result], name: str) -> list[list[str]]:
    """One line on the seeds that both have; none if they share too few."""
    pairs = paired(first, second)
    if len(pairs) < FEWEST:
        return []
    found = compare(*zip(*pairs, strict=True))
    interval = f"{number(found.difference, '+')} [{number(found.low, '+')}, {number(found.high, '+')}]"
    keys = first[0].keys
    chances = [_chance(found.t_test), _chance(found.sign_flip)]
    return [[keys["mix"], keys["variant"], name, str(found.n), interval, *chances]]


def _chance(p: float) -> str:
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def paired(first: Sequence[Result], second: Sequence[Result]) -> list[tuple[float, float]]:
    """Means of both for the seeds that both have."""
    others = {row.seed: row.mean for row in second}
    return [(row.mean, others[row.seed]) for row in first if row.seed in others]


def ordered(groups: Groups) -> Groups:
    """By data, then variant, then the best first."""
    def place(item: tuple[str, list[Result]]) -> tuple:
        keys, rows = item[1][0].keys, item[1]
        return keys["mix"], _natural(keys["variant"]), -sum(row.mean for row in rows) / len(rows)

    return dict(sorted(groups.items(), key=place))


def _natural(name: str) -> tuple:
    """bins-63 before bins-255."""
    head, _, tail = name.rpartition("-")
    return (head, int(tail)) if tail.isdigit() else (name, -1)


def _seconds(rows: list[Result], name: str) -> str:
    """Mean over the rows, with its unit."""
    return f"{sum(float(row.facts[name]) for row in rows) / len(rows):.0f} s"


def markdown(lines: list[list[str]]) -> str:
    """A table; columns in which nothing stands are left out."""
    used = [i for i in range(len(lines[0])) if any(line[i] for line in lines[1:])]
    rows = ["| " + " | ".join(line[i] or "–" for i in used) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "---|" * len(used), *rows[1:]])
