"""WordPiece, the tokeniser of BERT and most sentence encoders, from its `tokenizer.json`: nothing to install."""

from __future__ import annotations

import json
import unicodedata

from qtx_ros.errors import QtxError

LONGEST_WORD = 100  # characters; longer ones are unknown
IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
              (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))  # fmt: skip


class WordPiece:
    """Text → numbers of word pieces, between those of [CLS] and [SEP]."""

    def __init__(self, data: bytes, where: str, longest: int) -> None:
        """`data`: of a tokenizer.json, which `where` names in errors; `longest`: most pieces, [CLS] and [SEP] included.

        QtxError for another kind of tokeniser.
        """
        try:
            content = json.loads(data)
            model, cleaning = content["model"], content["normalizer"] or {}
            kind = model.get("type", "WordPiece"), cleaning.get("type")
            self._vocabulary: dict[str, int] = model["vocab"]
            self._prefix, self._unknown = model["continuing_subword_prefix"], self._vocabulary[model["unk_token"]]
            self._begin, self._end = self._vocabulary["[CLS]"], self._vocabulary["[SEP]"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QtxError(f"{where} is not the tokeniser of a BERT: {type(error).__name__} {error}") from None
        if kind != ("WordPiece", "BertNormalizer"):
            raise QtxError(f"{where} holds {' with '.join(map(str, kind))}, expected WordPiece with BertNormalizer")
        self._lowercase, self._longest = cleaning.get("lowercase", True), longest
        strip = cleaning.get("strip_accents")
        self._strip = self._lowercase if strip is None else strip

    def __call__(self, text: str) -> list[int]:
        """Numbers of the pieces of a text."""
        pieces = [piece for word in self._words(text) for piece in self._pieces(word)]
        return [self._begin, *pieces[: self._longest - 2], self._end]

    def _words(self, text: str) -> list[str]:
        text = "".join(_cleaned(character) for character in text)
        if self._strip:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        if self._lowercase:
            text = text.lower()
        return "".join(f" {c} " if _punctuation(c) else c for c in text).split()

    def _pieces(self, word: str) -> list[int]:
        """The longest known piece from the left, and again; unknown as a whole if a part is."""
        found, start = [], 0
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        while start < len(word):
            prefix = self._prefix if start else ""
            stops = range(len(word), start, -1)
            stop = next((stop for stop in stops if prefix + word[start:stop] in self._vocabulary), None)
            if stop is None:
                return [self._unknown]
            found.append(self._vocabulary[prefix + word[start:stop]])
            start = stop
        return found


def _cleaned(character: str) -> str:
    """Without control characters; every kind of space is a space; an ideograph is a word of its own."""
    code = ord(character)
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    if code in (0, 0xFFFD) or unicodedata.category(character).startswith("C"):
        return ""
    return f" {character} " if any(low <= code <= high for low, high in IDEOGRAPHS) else character


def _punctuation(character: str) -> bool:
    code = ord(character)
    signs = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return signs or unicodedata.category(character).startswith("P")
