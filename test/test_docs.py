"""The tests that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(r"(?P<file>[\w/]*test_\w+\.py|…)(?:::(?P<test>test_\w+)(?P<more>[…*]?))?")


def named_tests(text: str) -> list[tuple[str, str, bool]]:
    """File, test (may be empty) and whether its name goes on; … for a file is the one named before in the line."""
    found = []
    for line in text.splitlines():
        for match in NAMED.finditer(line):
            file, test, more = match.group("file", "test", "more")
            if file == "…" and not test:
                continue
            found.append((found[-1][0] if file == "…" else file, test or "", bool(more)))
    return found


def is_there(file: str, test: str, more: bool) -> bool:
    paths = [path for path in (ROOT / "test").rglob("test_*.py") if path.as_posix().endswith("/" + file)]
    defined = rf"^def {test}" + ("" if more else r"\(")
    return any(not test or re.search(defined, path.read_text(encoding="utf-8"), re.MULTILINE) for path in paths)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_every_test_that_a_document_names_exists(path):
    missing = [one for one in named_tests(path.read_text(encoding="utf-8")) if not is_there(*one)]
    assert missing == []


def test_names_are_found_and_told_apart():
    text = "| `test_docs.py::test_names_are_…`, `…::test_names_are` |\n`test/test_docs.py`, `test_nowhere.py::test_x` …"
    found = named_tests(text)
    assert found == [("test_docs.py", "test_names_are_", True), ("test_docs.py", "test_names_are", False),
                     ("test/test_docs.py", "", False), ("test_nowhere.py", "test_x", False)]  # fmt: skip
    assert [is_there(*one) for one in found] == [True, False, True, False]
