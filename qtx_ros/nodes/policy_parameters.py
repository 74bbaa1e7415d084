"""Parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from qtx_ros import ros
from qtx_ros.deploy.confidence import ACTIONS, Confidence
from qtx_ros.deploy.exploration import Exploration
from qtx_ros.errors import QtxError


@dataclass(frozen=True)
class Values:
    """What the parameters say; see `DESCRIPTIONS`."""

    bundle: str = ""
    robot: str = ""
    device: str = "auto"
    threads: int = 1
    instruction: str = ""
    max_step: float = 1.0
    output_rate: float = 0.0
    instruction_change: str = "reset"
    latch_after: float = 5.0
    deadman_button: int = -1
    low_confidence: str = "off"
    min_margin: float = 0.0
    max_entropy: float = 1.0
    slow_step: float = 0.2
    epsilon: float = 0.0
    temperature: float = 0.0
    anneal: int = 0
    explore_seed: int = 0
    plots: bool = False
    autostart: bool = True

    def __post_init__(self) -> None:
        if self.instruction_change not in CHANGES:
            expected = " or ".join(CHANGES)
            raise QtxError(f"instruction_change is {self.instruction_change!r}, expected {expected}")

    def confidence(self) -> Confidence:
        """What to do with a choice that the network is not sure of."""
        if self.low_confidence not in ACTIONS:
            raise QtxError(f"low_confidence is {self.low_confidence!r}, expected one of {', '.join(ACTIONS)}")
        return Confidence(self.low_confidence, self.min_margin, self.max_entropy, self.slow_step)

    def exploration(self) -> Exploration:
        """How the policy explores; QtxError for numbers that make no sense."""
        return Exploration(self.epsilon, self.temperature, self.anneal, self.explore_seed)


DESCRIPTIONS = {
    "bundle": "folder of the policy's bundle, or the name of a shipped one (read when configured)",
    "robot": "robot YAML, or the name of a shipped one; empty: the contract in the bundle (read when configured)",
    "device": "auto, cpu, cuda, tensorrt, torch-cuda or torch-cpu (read when configured)",
    "threads": "threads of ONNX Runtime, 0: it chooses (read when configured)",
    "instruction": "what to do, in words; empty: what the instruction topic says",
    "max_step": "largest step of a command per tick, as a share of the dimension's range high − low",
    "output_rate": "commands per second, interpolated between ticks; 0: one each tick (read when configured)",
    "instruction_change": "reset or keep: what a new instruction does to the frames remembered (read when configured)",
    "latch_after": "a fault that lasts longer [s] holds the robot until ~/rearm; 0: never (read when configured)",
    "deadman_button": "button of topic joy that must be held for the robot to drive; -1: none (read when configured)",
    "low_confidence": "off, hold or slow: what a choice that is not sure does (read when configured)",
    "min_margin": "sure means: the best two bins of each dimension differ in Q by at least this (read when configured)",
    "max_entropy": "sure means: entropy of the Q-values at most this share of the largest (read when configured)",
    "slow_step": "slow: the step per tick, as a share of the one allowed (read when configured)",
    "epsilon": "probability that a random subset of the dimensions gets random bins, to collect (read when configured)",
    "temperature": "bins are drawn from softmax(Q / temperature), to collect; 0: the best (read when configured)",
    "anneal": "decisions over which the temperature falls to 0; 0: it stays (read when configured)",
    "explore_seed": "of the exploration (read when configured)",
    "plots": "publish Q, margin, entropy, value and choice as standard messages, too (read when configured)",
    "autostart": "configure and activate when the node starts",
}
CHANGES = ("reset", "keep")
LIVE = ("instruction", "max_step")  # may change while the node is configured
RANGES = {
    "output_rate": {"floating_point_range": [ros.FloatingPointRange(from_value=0.0, to_value=500.0, step=0.0)]},
    "latch_after": {"floating_point_range": [ros.FloatingPointRange(from_value=0.0, to_value=3600.0, step=0.0)]},
    "deadman_button": {"integer_range": [ros.IntegerRange(from_value=-1, to_value=63, step=1)]},
    "max_entropy": {"floating_point_range": [ros.FloatingPointRange(from_value=0.0, to_value=1.0, step=0.0)]},
    "slow_step": {"floating_point_range": [ros.FloatingPointRange(from_value=0.001, to_value=1.0, step=0.0)]},
    "epsilon": {"floating_point_range": [ros.FloatingPointRange(from_value=0.0, to_value=1.0, step=0.0)]},
    "temperature": {"floating_point_range": [ros.FloatingPointRange(from_value=0.0, to_value=1e6, step=0.0)]},
    "anneal": {"integer_range": [ros.IntegerRange(from_value=0, to_value=2**31 - 1, step=1)]},
    "explore_seed": {"integer_range": [ros.IntegerRange(from_value=0, to_value=2**31 - 1, step=1)]},
    "threads": {"integer_range": [ros.IntegerRange(from_value=0, to_value=256, step=1)]},
    "max_step": {"floating_point_range": [ros.FloatingPointRange(from_value=0.001, to_value=1.0, step=0.0)]},
}


def declare(node) -> None:
    """Declare every parameter with its default, description and range."""
    for name, default in vars(Values()).items():
        descriptor = ros.ParameterDescriptor(
            description=DESCRIPTIONS[name], read_only=name == "autostart", **RANGES.get(name, {})
        )
        node.declare_parameter(name, default, descriptor)


def read(node) -> Values:
    """The parameters as they are now."""
    return Values(**{name: node.get_parameter(name).value for name in vars(Values())})
