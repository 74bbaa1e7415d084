"""`qtx study report FOLDER -o docs/results/NAME`: tables, tests over seeds, plots, the CSV and the command."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from qtx_ros import config as configs
from qtx_ros.errors import QtxError
from qtx_ros.study import plots, tables
from qtx_ros.study.plan import PEER, Row, Run, Study, changes
from qtx_ros.study.results import RESULTS, Result, read_results, write_results
from qtx_ros.study.run import finished
from qtx_ros.study.work import STUDY, read_study

SCORES = {"arm": plots.RATE, "maze2d": "D4RL-normalised score"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="FOLDER", help="of the study, or of an earlier report")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER", help="of the report")
    parser.add_argument("--note", default="", help="a sentence that is to stand at the top")


def main(args: argparse.Namespace) -> int:
    results = read_results(args.study)
    if not results:
        raise QtxError(f"{args.study / RESULTS} has no rows yet: qtx study run makes them")
    study = read_study(args.study)
    _check(study, results, args.study / RESULTS)
    args.output.mkdir(parents=True, exist_ok=True)
    pictures = draw(study, results, args.output)
    write_results(args.output / RESULTS, results)
    (args.output / STUDY).write_text(json.dumps(configs.dump(study), indent=1) + "\n")
    (args.output / "README.md").write_text(page(study, results, pictures, args.note), encoding="utf-8")
    groups, name = tables.group(results), args.output.name
    linked = [f"![{name}, {picture}]({name}/{picture})" for picture in pictures]
    put_into(args.output.parent / "README.md", name, "\n\n".join([*linked, tables.scores_table(groups)]))
    print(f"{len(results)} runs → {args.output / 'README.md'}")
    return 0


def _check(study: Study, results: list[Result], path: Path) -> None:
    """QtxError if a row was made with other settings than the study has, or those of a group from different data."""
    planned = {run.group for run in study.runs()}
    finished([study.run(result.key) for result in results if result.group in planned], path.parent)
    for name, rows in tables.group(results).items():
        digests = sorted({row.facts["data_digest"] for row in rows})
        if len(digests) > 1:
            raise QtxError(f"{path}: rows of {name} were trained on different data ({', '.join(digests)})")


def put_into(page: Path, name: str, text: str) -> None:
    """Put a text between the lines `<!-- NAME -->` and `<!-- /NAME -->` of a page, if it is there and has them."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    before, start, rest = old.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if start and end:
        page.write_text(f"{before}{start}\n{text}\n\n{end}{after}", encoding="utf-8")


def draw(study: Study, results: list[Result], folder: Path) -> list[str]:
    """Write the plots; returns their names."""
    groups, score, names = tables.group(results), SCORES[study.arena], []
    if not all(plots.BINS.fullmatch(rows[0].keys["variant"]) for rows in groups.values()):
        plots.plot_methods(groups, folder / "methods.png", score)
        names.append("methods.png")
    if plots.plot_bins(groups, folder / "bins.png", score):
        names.append("bins.png")
    return names


def page(study: Study, results: list[Result], pictures: list[str], note: str) -> str:
    """The report as Markdown."""
    groups = tables.group(results)
    parts = [f"# {study.name}", note, _protocol(study, results)]
    parts += [f"![{name.removesuffix('.png')} of {study.name}]({name})" for name in pictures]
    parts += ["## Scores", tables.scores_table(groups)]
    for title, table in (
        (f"## {tables.OURS} against the others", tables.tests_table(groups)),
        ("## Variants compared", tables.variants_table(groups, {row.name: row.against for row in study.rows})),
    ):
        parts += [title, table] if table else []
    parts += ["## Settings", _settings(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _protocol(study: Study, results: list[Result]) -> str:
    seeds = sorted({result.seed for result in results})
    commits = sorted({result.facts["commit"] for result in results})
    total = sum(float(result.facts["cpu_s"]) for result in results if "same as" not in result.facts["overrides"]) / 3600
    parts = {mix: ", ".join(f"{n} {operator}" for operator, n in counts.items()) for mix, counts in study.mixes.items()}
    mixes = "; ".join(f"{mix}: {counts}" for mix, counts in parts.items())
    return (
        f"`qtx study run {study.name} -o FOLDER`; `qtx study report FOLDER -o …`. {len(results)} runs, training seeds "
        f"{_ranges(seeds)}, {results[0].facts['episodes']} evaluation episodes per task, {SCORES[study.arena]}, robot "
        f"`{study.robot}`, {total:.1f} CPU hours, code {', '.join(commits)}. Episodes per task in the data: {mixes}. "
        "Intervals are Student's over n training seeds; tests are paired by seed (of n seeds the sign-flip test never "
        "gives less than 2/2ⁿ). Train is the wall time of the gradient steps, CPU that of the whole run, evaluation "
        f"included; runs shared the machine with others. Every number is in [{RESULTS}]({RESULTS})."
    )


def _ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 → 1–3, 7."""
    text = ""
    for i, number in enumerate(numbers):
        joined = i > 0 and numbers[i - 1] == number - 1
        text = re.sub(r"(–\d+)?$", f"–{number}", text, count=1) if joined else f"{text}, {number}".strip(", ")
    return text


def _settings(study: Study) -> str:
    """What each method was trained with: keys that are not at their default."""
    lines = [["Method", "Settings"]]
    for method in study.methods:
        run = Run(study, _plain(study, method), next(iter(study.mixes)), method, 0)
        told = run.settings() if run.peer else changes(run.config())
        lines.append([method, f"`{json.dumps({**told, **_robot(run)})}`"])
    for row in (row for row in study.rows if row.name):
        method = next((name for name in row.methods or study.methods if not name.startswith(PEER)), None)
        if method is None:  # rows change what peers have none of
            continue
        this, plain = (Run(study, r, next(iter(study.mixes)), method, 0) for r in (row, _plain(study, method)))
        found = difference(_everything(this), _everything(plain))
        lines.append([row.name, f"other than {method}: `{json.dumps(found)}`"])
    return tables.markdown(lines)


def _plain(study: Study, method: str) -> Row:
    """The row without a name that a method has; one that changes nothing if there is none."""
    return next((row for row in study.rows if not row.name and method in (row.methods or study.methods)), Row())


def _robot(run: Run) -> dict:
    """Bins and curve, which a peer has none of, and history."""
    spec = run.spec()
    found = {} if run.peer else {"bins": max(d.bins for d in spec.dimensions), "curve": spec.dimensions[0].curve}
    return {**found, "history": spec.history}


def _everything(run: Run) -> dict:
    return {**configs.dump(run.config()), **_robot(run)}


def difference(first: dict, second: dict) -> dict:
    """What of `first` differs from `second`, mappings with the same keys, also inside of mappings."""
    found = {}
    for key, value in first.items():
        if isinstance(value, dict):
            if inner := difference(value, second[key]):
                found[key] = inner
        elif value != second[key]:
            found[key] = value
    return found
