"""`inspect.html`: what a policy thought of a recording. One file, no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from qtx_ros import __version__
from qtx_ros.data.report.html import Html, Raw, page, tag
from qtx_ros.data.report.style import STYLE
from qtx_ros.data.report.thumbnails import picture
from qtx_ros.data.report.words import axis, key, number, section, share, table
from qtx_ros.deploy.bundle import Manifest
from qtx_ros.files import write_atomically
from qtx_ros.inspect.compare import Inspected, agreement, least, sentence, worst
from qtx_ros.inspect.plots import heat, lines
from qtx_ros.inspect.replay import Replay
from qtx_ros.inspect.summary import decisions, hold_sentences, live_sentences

PAGE = "inspect.html"
SHOWN = 20  # episodes with plots, those of least agreement
SHOTS = 6  # worst ticks with a picture
REASONS = 6
MORE = """
.curve{fill:none;vector-effect:non-scaling-stroke;stroke-width:1.6;stroke-linejoin:round}
.value,.margin{stroke:var(--bar)}.returned{stroke:var(--success);stroke-dasharray:5 4}.entropy{stroke:var(--look)}
.best{stroke:var(--none);stroke-width:1}
.shade{fill:var(--human);opacity:.22}.shade.hold{fill:var(--failure)}.shade.none{fill:var(--none);opacity:.35}
.key .hold{fill:var(--failure)}.key .value,.key .margin{fill:var(--bar)}.key .returned{fill:var(--success)}
.key .entropy{fill:var(--look)}.key .taken{fill:#ff4d6d}.key .chosen{fill:#fff;stroke:var(--dim);stroke-width:2;
vector-effect:non-scaling-stroke}
.tall .plot{height:132px}.pins{position:relative;height:20px}
.pins a{position:absolute;transform:translateX(-50%);width:17px;height:17px;border-radius:50%;background:var(--failure);
color:#fff;font-size:11px;line-height:17px;text-align:center;border:0}
.heat{position:relative;height:104px;overflow:hidden;border-radius:3px}
.heat img{width:100%;height:100%;display:block;image-rendering:pixelated}
.heat svg{position:absolute;inset:0;height:100%}
.heat .chosen{stroke:#fff;stroke-width:2.2}.heat .taken{stroke:#ff4d6d;stroke-width:2.2}
.heat .shade{opacity:.5}
.shot .pin{display:inline-block;width:17px;height:17px;border-radius:50%;background:var(--failure);color:#fff;
font-size:11px;line-height:17px;text-align:center;margin-right:6px}
.shots .shot{flex:1 1 300px;max-width:360px;display:grid;grid-template-columns:auto 1fr;gap:12px}
.shot img{width:112px}.wide{grid-template-columns:repeat(auto-fill,minmax(420px,1fr))}
section h3{margin-top:20px}.grid h3,.two h3{margin-top:0}.tall+.two{margin-top:18px}
ul.said{margin:6px 0;padding-left:18px;font-size:13.5px}
"""


def write_page(folder: Path, episodes: Sequence[Inspected], bundle: Manifest) -> Path:
    """Write `folder`/inspect.html and return its path. Equal episodes give equal pages."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PAGE, render(episodes, bundle).encode("utf-8", "backslashreplace"))
    return folder / PAGE


def render(episodes: Sequence[Inspected], bundle: Manifest) -> str:
    """The page."""
    shown = least(episodes, SHOWN)
    body = tag(
        "main",
        _header(episodes, bundle),
        _overview(episodes, set(shown)),
        _dimensions(episodes),
        *(_episode(i, episodes[i]) for i in shown),
        tag("footer", f"qtx_ros {__version__}. Written by qtx inspect."),
    )
    return page(f"{bundle.name} on {episodes[0].name}", STYLE + MORE, body)


def _header(episodes: Sequence[Inspected], bundle: Manifest) -> Html:
    found = [agreement(e.replay) for e in episodes]
    compared, ticks = sum(a.compared for a in found), sum(a.ticks for a in found)
    both = [(a, a.compared) for a in found if a.compared]
    exact, near = (
        sum(float(np.mean(getattr(a, key))) * n for a, n in both) / compared if compared else float("nan")
        for key in ("exact", "near")
    )
    live = [e.live for e in episodes]
    repeated = sum(one.choices - one.unknown for one in live)
    equal = f"{sum(one.equal for one in live):,} of {repeated:,}"
    tiles = [
        (f"{len(episodes):,}", "episodes"),
        (f"{compared:,} of {ticks:,}", "ticks compared"),
        (share(exact) if both else "–", "same bin as recorded"),
        (share(near) if both else "–", "at most one bin away"),
        *([(equal, "recorded decisions come out bin for bin")] if repeated else []),
    ]
    return tag(
        "header",
        tag("h1", f"What policy {bundle.name} would have done"),
        tag("div", f"{episodes[0].replay.spec.name}: {episodes[0].bag}", class_="sub"),
        tag("div", *(tag("div", tag("b", v), tag("span", text), class_="tile") for v, text in tiles), class_="tiles"),
    )


def _overview(episodes: Sequence[Inspected], shown: set[int]) -> Html:
    rows = []
    for i, episode in enumerate(episodes):
        found = agreement(episode.replay)
        name = tag("a", episode.name, href=f"#e{i}") if i in shown else episode.name
        value = f"{number(found.first)} → {number(found.last)}"
        rows.append([name, episode.replay.label or "–", episode.replay.instruction, f"{found.compared:,}",
                     *(_mean_share(getattr(found, kind)) for kind in ("exact", "near")), number(found.q_taken),
                     number(found.q_best), value, decisions(episode.live)])  # fmt: skip
    head = ["episode", "label", "instruction", "ticks", "same bin", "± 1 bin", "Q taken", "Q best", "value"]
    head.append("decisions")
    lead = (
        "Q taken: mean Q of what was done; Q best: of what the policy would have done. Value: largest Q of the first "
        "dimension, at the start and at the end. Decisions: recorded ones that come out bin for bin."
    )
    more = f" Plots of the {len(shown)} episodes of least agreement." if len(shown) < len(episodes) else ""
    return section("episodes", "Episodes", table(head, rows, tuple(range(3, 10))), lead=lead + more)


def _mean_share(values: np.ndarray) -> str:
    mean = float(np.mean(values))
    return share(mean) if np.isfinite(mean) else "–"


def _dimensions(episodes: Sequence[Inspected]) -> Html | None:
    found = [a for a in (agreement(e.replay) for e in episodes) if a.compared]
    if not found:
        return None
    weights = [a.compared for a in found]
    columns = {key: np.average([getattr(a, key) for a in found], 0, weights) for key in ("exact", "near", "off")}
    rows = [
        [d.name, d.mode, share(float(columns["exact"][i])), share(float(columns["near"][i])),
         number(float(columns["off"][i])), f"{number(d.low)} to {number(d.high)}", d.bins]
        for i, d in enumerate(episodes[0].replay.spec.dimensions)
    ]  # fmt: skip
    head = ["dimension", "", "same bin", "± 1 bin", "mean distance", "range", "bins"]
    return section("dimensions", "Agreement in each dimension", table(head, rows, (2, 3, 4, 5, 6)))


def _episode(i: int, episode: Inspected) -> Html:
    replay = episode.replay
    chosen = worst(replay, SHOTS)
    title = f"{episode.name}: {replay.instruction or 'no instruction'} – {replay.label or 'no label'}"
    if not replay.chosen.any():
        return section(f"e{i}", title, _said(episode))
    return section(
        f"e{i}", title, _said(episode), _value(i, episode, chosen), _sureness(episode),
        _shots(i, replay, chosen), _maps(episode),
    )  # fmt: skip


def _said(episode: Inspected) -> Html | None:
    said = live_sentences(episode) + hold_sentences(episode, REASONS)
    return tag("ul", *(tag("li", line) for line in said), class_="said") if said else None


def _value(i: int, episode: Inspected, chosen: list[int]) -> Html:
    replay = episode.replay
    high = max(1.0, float(np.nanmax(replay.value)), float(replay.returned.max(initial=0)))
    low = min(0.0, float(np.nanmin(replay.value)), float(replay.returned.min(initial=0)))
    plot = lines([("returned", replay.returned), ("value", replay.value)], low, high, _shades(episode))
    pins = [
        tag("a", k + 1, href=f"#e{i}w{k}", style=Raw(f"left:{100 * (at + 0.5) / len(replay.tick):.2f}%"))
        for k, at in enumerate(chosen)
    ]
    legend = key(
        ("value", "value: what the policy expects"), ("returned", "return that followed, discounted"), *_legend(episode)
    )
    return tag(
        "div", _titled("Value and return", low, high), legend, tag("div", *pins, class_="pins"),
        tag("div", plot, class_="base"), _times(replay), class_="tall",
    )  # fmt: skip


def _sureness(episode: Inspected) -> Html:
    replay = episode.replay
    margin, entropy = replay.margin.min(1), replay.entropy.max(1)
    high = float(np.nanmax(margin)) or 1.0
    shades = _shades(episode)
    plots = [
        ("margin", "Smallest margin of all dimensions", margin, high),
        ("entropy", "Largest entropy of all dimensions", entropy, 1.0),
    ]
    parts = [
        tag("div", _titled(title, 0.0, top), tag("div", lines([(name, values)], 0.0, top, shades), class_="base"),
            _times(replay))
        for name, title, values, top in plots
    ]  # fmt: skip
    return tag("div", *parts, class_="two")


def _titled(title: str, low: float, high: float) -> Html:
    """The title of a plot, and what its bottom and top are."""
    return tag("h3", title, tag("span", f" {number(low)} to {number(high)}", class_="dim sub"))


def _shots(i: int, replay: Replay, chosen: list[int]) -> Html | None:
    if not chosen:
        return tag("p", "Policy and recording agree at every tick.", class_="sub")
    shots = [_shot(f"e{i}w{k}", k, replay, at) for k, at in enumerate(chosen)]
    return tag("div", tag("h3", "Where they differ most"), tag("div", *shots, class_="shots"))


def _shot(name: str, k: int, replay: Replay, at: int) -> Html:
    image = None
    if replay.pictures[at]:
        bgr = cv2.imdecode(np.frombuffer(replay.pictures[at], np.uint8), cv2.IMREAD_COLOR)
        image = picture(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), f"tick {at}")
    caption = tag("figcaption", tag("span", k + 1, class_="pin"), sentence(replay, at))
    return tag("figure", image, caption, class_="shot", id=name)


def _maps(episode: Inspected) -> Html:
    replay = episode.replay
    parts = []
    for k, d in enumerate(replay.spec.dimensions):
        plot = heat(replay.q_all[:, k, : d.bins], replay.bins[:, k], replay.taken_bins[:, k], _shades(episode))
        title = tag("h3", d.name, tag("span", f" {d.mode}, {number(d.low)} to {number(d.high)}", class_="dim sub"))
        parts.append(tag("div", title, plot, _times(replay)))
    legend = key(("chosen", "policy"), ("taken", "recorded"))
    lead = "Dark: the lowest Q of the dimension in this episode; bright: the highest; grey: the policy would hold."
    grid = tag("div", *parts, class_="grid wide")
    return tag("div", tag("h3", "Q over the bins"), tag("div", lead, " ", legend, class_="sub"), grid)


def _times(replay: Replay) -> Html:
    seconds = float(replay.seconds[-1]) if len(replay.tick) else 0.0
    return axis("0 s", f"{seconds / 2:.1f} s", f"{seconds:.1f} s")


def _shades(episode: Inspected) -> list[tuple[str, np.ndarray]]:
    """Where a human drove, where the recorded policy held, where nothing could be chosen."""
    replay, live = episode.replay, episode.live
    human = replay.human | _within(replay.tick, live.human)
    return [("human", human), ("hold", _within(replay.tick, live.held)), ("none", ~replay.chosen)]


def _legend(episode: Inspected) -> list[tuple[str, str]]:
    texts = {"human": "a human drove", "hold": "the recorded policy held", "none": "the policy would hold"}
    return [(name, texts[name]) for name, on in _shades(episode) if on.any()]


def _within(ticks: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Which ticks lie in one of the [start, stop) spans, bool [N]."""
    found = np.zeros(len(ticks), bool)
    for start, stop in spans:
        found |= (ticks >= start) & (ticks < stop)
    return found
