"""Numbers and small pieces as the report prints them."""

from __future__ import annotations

import math

from qtx_ros.data.report import svg
from qtx_ros.data.report.html import Html, Raw, tag

LABELS = (("success", "success"), ("failure", "failure"), ("none", ""))  # class of a label → the label


def share(value: float) -> str:
    """A share in per cent: never 0 % for what is there, never 100 % for what is not all."""
    if 0 < value < 0.001:
        return "less than 0.1 %"
    if 0.999 < value < 1:
        return "more than 99.9 %"
    return f"{100 * value:.1f} %" if 0 < value < 0.1 or 0.99 < value < 1 else f"{100 * value:.0f} %"


def milliseconds(seconds: float) -> str:
    """Seconds in ms, below 10 ms with one decimal; a dash if unknown."""
    if not math.isfinite(seconds):
        return "–"
    return f"{seconds * 1e3:.0f} ms" if abs(seconds) >= 0.01 or not seconds else f"{seconds * 1e3:.1f} ms"


def number(value: float) -> str:
    """A number of about three digits, or a dash."""
    return f"{value:.3g}" if math.isfinite(value) else "–"


def size(count: int) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def section(name: str, title: str, *body: object, lead: object = None) -> Html:
    """A part of the page that a link can reach."""
    head = (tag("h2", title), tag("p", lead, class_="sub") if lead else None)
    return tag("section", *head, *body, id=name)


def table(head: list[object], rows: list[list[object]], numbers: tuple[int, ...] = ()) -> Html:
    """A table; the columns in `numbers` stand to the right."""
    def cell(kind: str, i: int, content: object) -> Html:
        wide = isinstance(content, Html) and "<svg" in content
        return tag(kind, content, class_="n" if i in numbers else "wide" if wide else "text")

    lines = [tag("tr", *(cell("td", i, c) for i, c in enumerate(row))) for row in rows]
    top = tag("thead", tag("tr", *(cell("th", i, c) for i, c in enumerate(head))))
    return tag("div", tag("table", top, tag("tbody", *lines)), class_="scroll")


def axis(*texts: object) -> Html:
    """Texts below a plot, evenly spread."""
    return tag("div", *(tag("span", text) for text in texts), class_="axis")


def key(*entries: tuple[str, str]) -> Html:
    """A legend: (class, text)."""
    return tag("span", *(tag("span", svg.shares([(name, 1)]), text, class_="key") for name, text in entries))


def style(**values: object) -> Raw:
    """Custom properties of an element, made of numbers only."""
    return Raw(";".join(f"--{name.replace('_', '-')}:{value:d}" for name, value in values.items()))
