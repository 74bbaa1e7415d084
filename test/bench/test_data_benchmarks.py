"""The data benchmarks run and end with one JSON line. Speeds are not tested."""

import argparse
import json

import pytest

from qtx_ros.bench import convert, loader


@pytest.mark.parametrize(
    ("benchmark", "arguments"),
    [
        (convert, ["--seconds", "1", "--image", "48", "64", "--repeat", "1"]),
        (loader, "--size 16 --steps 40 --batches 1 --rounds 1 --history 2 --batch 4".split()),
    ],
)
def test_a_benchmark_prints_a_table_and_one_json_line(benchmark, arguments, capsys):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    assert benchmark.main(parser.parse_args(arguments)) == 0
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert benchmark.__name__.endswith(summary["benchmark"]) and summary["rows"]
    assert len(lines) == len(summary["rows"]) + 3
    assert all(value > 0 for row in summary["rows"] for value in row.values() if isinstance(value, float))
