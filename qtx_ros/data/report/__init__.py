"""`report.html`: what a person should see of a training set before training on it. One file, no network, no script."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtx_ros import __version__
from qtx_ros.data.report import actions, gaps, overview, streams
from qtx_ros.data.report.collect import Facts, collect
from qtx_ros.data.report.findings import find
from qtx_ros.data.report.html import page, tag
from qtx_ros.data.report.style import STYLE
from qtx_ros.files import write_atomically

if TYPE_CHECKING:
    from qtx_ros.data.conversion import Row

REPORT = "report.html"
SECTIONS = (
    ("refused", overview.refused),
    ("pictures", overview.thumbnails),
    ("instructions", overview.instructions),
    ("gaps", gaps.gaps),
    ("streams", streams.streams),
    ("actions", actions.actions),
    ("state", actions.state),
    ("lengths", overview.lengths),
    ("duplicates", overview.duplicates),
)


def write_report(out: Path, rows: Sequence[Row] = ()) -> Path:
    """Write `out`/report.html about the training set in `out` and return its path.

    `rows` are the rows of the conversion, for what it refused. Equal sets give equal pages; an episode that cannot be
    read is a row on the page. QtxError if `out` is no training set.
    """
    text = render(collect(Path(out), rows)).encode("utf-8", "backslashreplace")
    path = Path(out) / REPORT
    write_atomically(path, text + seal(text))
    return path


def render(facts: Facts) -> str:
    """The page."""
    parts = {name: part for name, build in SECTIONS if (part := build(facts)) is not None}
    body = tag(
        "main",
        overview.header(facts),
        overview.look_first(find(facts)),
        tag("nav", *(tag("a", name, href=f"#{name}") for name in parts)),
        *parts.values(),
        tag("footer", f"qtx_ros {__version__}. Written by qtx convert; qtx data report SET writes it anew."),
    )
    return page(f"{facts.folder.resolve().name}: {facts.spec.name}", STYLE, body)


def seal(text: bytes) -> bytes:
    """The last line of a page: the hash of all before it."""
    return f"<!-- sha256 {hashlib.sha256(text).hexdigest()} -->\n".encode()
