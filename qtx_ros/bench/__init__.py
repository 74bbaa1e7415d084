"""`qtx bench NAME`: each compares in one run on one machine, prints a table and ends with one JSON line."""

from __future__ import annotations

import argparse

from qtx_ros.sub_verbs import add_names, run_named

BENCHMARKS = {
    "tick": "one policy tick: torch eager, ONNX step by step, ONNX in one graph",
    "wire": "images and joint states between two processes",
    "record": "two raw cameras and joints into a bag: losses, CPU, memory",
    "crash": "the recorder killed at random moments: what is lost of the episode",
    "latency": "camera stamp to command through the real processes, with a budget of its stages",
    "convert": "bags into a training set, times real time per core",
    "lerobot": "LeRobot datasets: our writer beside that of lerobot, on the same frames",
    "loader": "training windows a second, against the JPEG decode limit",
    "fuzz": "broken bags of every kind: the right data or one clear sentence",
    "faults": "every fault over the wire, and how soon the robot is told to stay",
    "soak": "policy and watchdog for half an hour: memory, files, threads, missed ticks",
    "train": "training samples a second and peak memory",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_names(parser, __name__, BENCHMARKS)


def main(arguments: argparse.Namespace) -> int:
    """Run one benchmark; its exit status."""
    return run_named(arguments, __name__)
