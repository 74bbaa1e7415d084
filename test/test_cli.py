"""The command line as a user meets it: in a process of its own."""

import os
import re
import subprocess
import sys

import pytest

from qtx_ros.bench import BENCHMARKS
from qtx_ros.cli import VERBS


def qtx(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "qtx_ros", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    result = qtx(verb, "--help")
    assert result.returncode == 0, result.stderr
    assert f"usage: qtx {verb}" in result.stdout
    silent = re.findall(r"^  (-[^ ]+(?: [A-Z{\[][^ ]*)*)\n(?! {20})", result.stdout, re.MULTILINE)
    assert not silent, f"options without a word of help: {silent}"


def test_the_help_lists_every_verb_and_every_benchmark():
    listed = qtx("--help").stdout
    assert all(re.search(rf"^ +{verb} ", listed, re.MULTILINE) for verb in VERBS)
    listed = qtx("bench", "--help").stdout
    assert all(re.search(rf"^ +{name} ", listed, re.MULTILINE) for name in BENCHMARKS)


def test_a_problem_is_one_sentence_and_status_one(tmp_path):
    result = qtx("convert", str(tmp_path / "nothing"), "-o", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and "nothing" in result.stderr


def test_a_missing_extra_is_named():
    result = qtx("train", "data", "-o", "run", PYTHONPATH=_without("torch"))
    assert result.returncode == 1
    assert "qtx_ros[train]" in result.stderr and "Traceback" not in result.stderr


def _without(module: str) -> str:
    """A PYTHONPATH on which importing `module` fails as if it were not installed."""
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    (folder / f"{module}.py").write_text(f"raise ModuleNotFoundError('not installed', name={module!r})\n")
    return os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
