"""Parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from qtx_ros import ros


@dataclass(frozen=True)
class Values:
    """What the parameters say; see `DESCRIPTIONS`."""

    bundle: str = ""
    robot: str = ""
    device: str = "auto"
    threads: int = 1
    instruction: str = ""
    max_step: float = 1.0
    autostart: bool = True


DESCRIPTIONS = {
    "bundle": "folder of the policy's bundle, or the name of a shipped one (read when configured)",
    "robot": "robot YAML, or the name of a shipped one; empty: the contract in the bundle (read when configured)",
    "device": "auto, cpu, cuda or tensorrt (read when configured)",
    "threads": "threads of ONNX Runtime, 0: it chooses (read when configured)",
    "instruction": "what to do, in words; empty: what the instruction topic says",
    "max_step": "largest step of a command per tick, as a share of the dimension's range high − low",
    "autostart": "configure and activate when the node starts",
}
RANGES = {
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
