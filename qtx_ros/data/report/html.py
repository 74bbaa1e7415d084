"""HTML that cannot be broken by what stands in it: every text is escaped unless it was made by `tag`.

Instructions, comments and paths come from bags of anybody; none of them may become markup.
"""

from __future__ import annotations

import html
import unicodedata

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
EMPTY = {"br", "img", "input", "meta", "path", "rect", "line", "circle"}


class Html(str):
    """Text that is HTML already."""


def plain(text: object, limit: int = 300) -> str:
    """A text as it may be shown: shortened, control and formatting characters made visible, no lone surrogates."""
    text = str(text)
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(_visible(c) for c in text)


def _visible(character: str) -> str:
    if character in "\n\t":
        return " "
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return f"\\u{ord(character):04x}" if hidden else character


def escape(text: object) -> Html:
    """A text as HTML; Html stays what it is."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. `class_` is class, an attribute None is left out, `_` in a name is `-`; all texts are escaped."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_attribute(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = join(*children)
    return Html(f"<{name}{given}/>" if name in EMPTY else f"<{name}{given}>{inside}</{name}>")


def _attribute(value: object) -> str:
    return str(value) if isinstance(value, Raw) else plain(value)


class Raw(str):
    """An attribute made here (a path, a picture, a style), however long."""


def join(*parts: object) -> Html:
    """Several parts one after another; None is nothing."""
    return Html("".join(escape(part) for part in parts if part is not None))


def page(title: str, style: str, *body: object) -> str:
    """A whole page that loads nothing and runs nothing."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', *body), lang='en')}\n"
