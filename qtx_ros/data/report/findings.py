"""What a person should know before training on a set, in plain sentences, worst first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from qtx_ros.data.report.collect import Facts
from qtx_ros.data.report.facts import EpisodeFacts, twins
from qtx_ros.data.report.words import share

FAULT, LOOK, NOTE = "fault", "look", "note"  # most likely a fault; look at it; good to know
FEW = 0.1  # a smaller share of the episodes is few
SOME = 5  # episodes below which shares say nothing
CREEPING, CREEPING_STEPS = 0.002, 20  # share and number of the steps whose motion the bins lose


@dataclass(frozen=True)
class Finding:
    """One sentence, how bad it is, and the section of the page that shows it."""

    level: str
    sentence: str
    section: str


def find(facts: Facts) -> list[Finding]:
    """All that is worth a sentence, worst first."""
    found: list[Finding] = []
    for check in CHECKS:
        found += check(facts)
    return sorted(found, key=lambda w: (FAULT, LOOK, NOTE).index(w.level))


# --- bags and files ----------------------------------------------------------------------------------------------

def _refused(facts: Facts) -> Iterator[Finding]:
    failed = [row for row in facts.refused if row.status != "discarded"]
    if failed:
        yield Finding(FAULT, f"{_many(len(failed), 'recording')} could not be used", "refused")
    if facts.broken:
        names = _some(facts.broken)
        yield Finding(FAULT, f"{_many(len(facts.broken), 'episode')} cannot be read: {names}", "refused")
    if not facts.episodes:
        yield Finding(FAULT, "the set holds no episode", "refused")


def _twins(facts: Facts) -> Iterator[Finding]:
    groups = twins(list(facts.episodes))
    if groups:
        extra = sum(len(group) - 1 for group in groups)
        yield Finding(LOOK, f"duplicates: {_many(extra, 'episode')} ({_some(g[0].name for g in groups)})", "duplicates")


# --- labels and instructions -------------------------------------------------------------------------------------

def _labels(facts: Facts) -> Iterator[Finding]:
    total = len(facts.episodes)
    counts = {label: facts.count(label) for label in ("success", "failure", "")}
    if counts[""]:
        sentence = f"without a label: {counts['']} of {total} episodes; they count as cut, not as failed"
        yield Finding(LOOK, sentence, "labels")
    if total < SOME:
        return
    for label in ("success", "failure"):
        if not counts[label]:
            yield Finding(FAULT if label == "success" else LOOK, f"no episode is labelled {label}", "labels")
        elif counts[label] < FEW * total:
            sentence = f"only {counts[label]} of {total} episodes {_are(counts[label])} labelled {label}"
            yield Finding(LOOK, sentence, "labels")


def _rewards(facts: Facts) -> Iterator[Finding]:
    silent = [e.name for e in facts.episodes if e.label == "success" and e.reward <= 0]
    if silent:
        sentence = f"{_many(len(silent), 'success', 'successes')} without a reward: {_some(silent)}"
        yield Finding(FAULT, sentence, "lengths")


def _instructions(facts: Facts) -> Iterator[Finding]:
    counts = Counter(e.instruction for e in facts.episodes)
    if counts[""]:
        yield Finding(LOOK, f"{_many(counts[''], 'episode')} without an instruction", "instructions")
    alike: dict[str, list[str]] = {}
    for text in counts:
        alike.setdefault("".join(c for c in text.casefold() if c.isalnum()), []).append(text)
    for texts in alike.values():
        if len(texts) > 1:
            listed = ", ".join(f"“{t}”" for t in sorted(texts)[:4])
            yield Finding(LOOK, f"these instructions differ only in spelling: {listed}", "instructions")
    if len(counts) > 1:
        lone = [text for text in counts if text and not any(e.label == "success" for e in _with(facts, text))]
        if lone:
            listed = _some((f"“{t}”" for t in lone), 3)
            yield Finding(LOOK, f"no success for {_many(len(lone), 'instruction')}: {listed}", "instructions")


def _with(facts: Facts, instruction: str) -> list[EpisodeFacts]:
    return [e for e in facts.episodes if e.instruction == instruction]


# --- streams and time --------------------------------------------------------------------------------------------

def _frozen(facts: Facts) -> Iterator[Finding]:
    for camera in facts.spec.cameras:
        stood = [e for e in facts.episodes if camera.name in e.frozen]
        if stood:
            worst = max(stood, key=lambda e: e.frozen[camera.name])
            yield Finding(
                FAULT,
                f"camera '{camera.name}' frozen for {worst.frozen[camera.name]:.1f} s in {worst.name} while the arm "
                f"moved ({_many(len(stood), 'episode')} in all)",
                "gaps",
            )


def _rates(facts: Facts) -> Iterator[Finding]:
    ticks = [e.steps_rate for e in facts.episodes if math.isfinite(e.steps_rate)]
    slow = [r for r in ticks if r < 0.9 * facts.spec.rate]
    if slow:
        yield Finding(
            FAULT,
            f"{len(slow)} of {len(ticks)} episodes tick slower than the {facts.spec.rate:g} Hz of the robot's file, "
            f"the slowest at {min(slow):.1f} Hz",
            "streams",
        )
    for topic in sorted({topic for e in facts.episodes for topic in e.rates}):
        rates = np.array([e.rates[topic] for e in facts.episodes if topic in e.rates])
        low, middle, high = rates.min(), np.median(rates), rates.max()
        required = topic in {s.topic for s in (*facts.spec.cameras, *facts.spec.states)}
        if required and middle > 0 and (low < 0.9 * middle or high > 1.1 * middle):
            sentence = f"rates of {topic} differ between episodes: {low:.1f} to {high:.1f} Hz, median {middle:.1f} Hz"
            yield Finding(LOOK, sentence, "streams")


def _clocks(facts: Facts) -> Iterator[Finding]:
    for topic in sorted({topic for e in facts.episodes for topic in e.clock}):
        medians = np.array([e.clock[topic][1] for e in facts.episodes if topic in e.clock])
        low, high = medians.min(), medians.max()
        if low < 0:
            sentence = f"the clock of {topic} is ahead of the recorder's by {-low * 1e3:.0f} ms in the worst episode"
            yield Finding(LOOK, sentence, "streams")
        if high - low > 0.03:
            sentence = f"the clock offset of {topic} differs between episodes: {low * 1e3:.0f} to {high * 1e3:.0f} ms"
            yield Finding(LOOK, sentence, "streams")


def _ages(facts: Facts) -> Iterator[Finding]:
    for i, stream in enumerate((*facts.spec.cameras, *facts.spec.states)):
        old = facts.totals.age_quantile(i, 0.95)
        name = getattr(stream, "name", stream.topic)
        if old > 0.8 * stream.max_age:
            sentence = f"'{name}' is often nearly too old: 5 % of the steps at {old * 1e3:.0f} ms or more"
            yield Finding(LOOK, f"{sentence}, max_age is {stream.max_age * 1e3:.0f} ms", "streams")


def _gaps(facts: Facts) -> Iterator[Finding]:
    lost = facts.steps - facts.valid
    if facts.steps and lost > 0.01 * facts.steps:
        level = FAULT if lost > 0.1 * facts.steps else LOOK
        yield Finding(level, f"{share(lost / facts.steps)} of the steps are invalid", "gaps")
    bad = [e.name for e in facts.episodes if e.steps and e.valid < 0.75 * e.steps]
    if bad:
        sentence = f"more than a quarter of the steps is invalid in {_many(len(bad), 'episode')}: {_some(bad)}"
        yield Finding(LOOK, sentence, "gaps")


# --- actions and state -------------------------------------------------------------------------------------------

def _actions(facts: Facts) -> Iterator[Finding]:
    if not facts.totals.valid:
        return
    for action, dimension in zip(facts.totals.actions(), facts.spec.dimensions, strict=True):
        if action.outside > 0.01:
            sentence = f"{share(action.outside)} of the actions of {action.name} are outside the bins"
            yield Finding(FAULT if action.outside > 0.1 else LOOK, sentence, "actions")
        if action.used == 1:
            where = "its zero bin" if action.idle == 1 else "one bin"
            yield Finding(LOOK, f"dimension {action.name} never leaves {where}", "actions")
        elif action.idle is not None and action.idle > 0.95:
            yield Finding(LOOK, f"{share(action.idle)} of the actions of {action.name} are in its zero bin", "actions")
        elif action.span < 0.2 * dimension.bins and dimension.bins > 5:
            sentence = f"98 % of the actions of {action.name} lie within {action.span} of its {dimension.bins} bins"
            yield Finding(LOOK, f"{sentence}; a narrower range would resolve more", "actions")


def _slow_motion(facts: Facts) -> Iterator[Finding]:
    lost = facts.totals.creeping
    if lost >= CREEPING_STEPS and lost > CREEPING * facts.totals.valid:
        sentence = f"{share(lost / facts.totals.valid)} of the steps move the robot with all joints in the zero bin"
        advice = "a policy would stand still there; more bins, or a curve above 1, would resolve slow motion"
        yield Finding(LOOK, f"{sentence}: {advice}", "actions")


def _state(facts: Facts) -> Iterator[Finding]:
    totals = facts.totals
    still = [n for n, low, high in zip(facts.spec.state_names, totals.low, totals.high, strict=True) if low == high]
    if still and totals.valid > 1:
        yield Finding(LOOK, f"never changes: state {_some(still)}", "state")


def _lengths(facts: Facts) -> Iterator[Finding]:
    steps = np.array([e.valid for e in facts.episodes])
    if len(steps) >= SOME:
        short = [e.name for e in facts.episodes if e.valid < max(0.25 * np.median(steps), facts.spec.history + 1)]
        if short:
            sentence = f"shorter than a quarter of the usual: {_many(len(short), 'episode')} ({_some(short)})"
            yield Finding(LOOK, sentence, "lengths")


def _humans(facts: Facts) -> Iterator[Finding]:
    driven = [e for e in facts.episodes if e.human]
    if driven:
        part = sum(e.human for e in driven) / max(facts.steps, 1)
        sentence = f"a human took over in {_many(len(driven), 'episode')}, {share(part)} of the steps"
        yield Finding(NOTE, sentence, "gaps")


CHECKS = (
    _refused, _frozen, _clocks, _rates, _ages, _gaps, _actions, _slow_motion, _state, _rewards, _labels, _instructions,
    _lengths, _twins, _humans,
)  # fmt: skip


# --- words -------------------------------------------------------------------------------------------------------

def _many(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _some(names: Iterable[str], limit: int = 4) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
