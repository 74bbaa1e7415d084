"""The fuzzing benchmark: what it finds in the reader, and that it would find something."""

import argparse
import json
import random
from dataclasses import replace

from qtx_ros.bench import fuzz, mutations
from qtx_ros.bench.kinds import KINDS
from qtx_ros.bench.mutations import MUTATIONS


def run(arguments, capsys):
    parser = argparse.ArgumentParser()
    fuzz.add_arguments(parser)
    status = fuzz.main(parser.parse_args(arguments))
    return status, capsys.readouterr().out


def test_broken_bags_of_every_kind_give_the_right_data_or_one_sentence(capsys):
    count = len(KINDS) * len(MUTATIONS)
    status, output = run(["--count", str(count), "--seed", "77", "--jobs", "2"], capsys)
    summary = json.loads(output.splitlines()[-1])
    assert status == 0 and summary["count"] == count, output
    assert summary["sentence"] > count / 2 and summary["right data"] > 5
    assert sum(summary[outcome] for outcome in fuzz.BAD) == 0


def test_a_reader_that_believes_a_flipped_byte_would_be_found(tmp_path):
    judge = fuzz._Judge(tmp_path, 0, recover=False)
    unprotected = replace(KINDS["mcap no crc"], checked=True)
    sound, outcomes = judge.sound("mcap no crc", unprotected), set()
    for seed in range(40):
        folder = tmp_path / f"case-{seed}"
        case = mutations.Case(random.Random(seed), folder, unprotected, judge.spec, list(judge.messages))
        outcomes.add(judge._outcome(case, mutations.flip(case), sound)[0])
    assert "wrong data" in outcomes


def test_what_is_no_clear_sentence_is_found(tmp_path):
    judge = fuzz._Judge(tmp_path, 0, recover=False)
    case = mutations.Case(random.Random(0), tmp_path, KINDS["ours"], judge.spec, [])
    bag = tmp_path / "bag"
    verdicts = {
        f"{bag}: KeyError: 7 at byte 3": "traceback",
        f"{bag}: MemoryError: ": "memory",
        f"{bag} is damaged at byte 7": fuzz.SENTENCE,
        f"{bag} is bad": "vague",
        "damaged at byte 7": "vague",
        f"{bag} is damaged at byte 7\nand so on": "vague",
    }
    assert {text: judge._sentence(case, bag, text)[0] for text in verdicts} == verdicts
    case.in_messages = True
    assert judge._sentence(case, bag, f"{bag} is damaged at byte 7")[0] == "vague"
    assert judge._sentence(case, bag, f"{bag} is damaged at byte 7 on topic '/a': no")[0] == fuzz.SENTENCE
