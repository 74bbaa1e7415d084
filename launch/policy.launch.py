"""The policy node, and the watchdog that holds the robot should it die.

`ros2 launch qtx_ros policy.launch.py bundle:=/path/to/bundle robot:=/path/to/robot.yaml`
"""

from qtx_ros.launching import Argument, description

POLICY = {
    "bundle": Argument(str, "folder of the policy's bundle, or the name of a shipped one (needed)"),
    "robot": Argument(str, "robot YAML, or the name of a shipped one; empty: the contract in the bundle"),
    "device": Argument(str, "auto, cpu, cuda or tensorrt; empty: auto"),
    "threads": Argument(int, "threads of ONNX Runtime; empty: 1"),
    "instruction": Argument(str, "what to do, in words; empty: what the instruction topic says"),
    "max_step": Argument(float, "largest step of a command per tick, as a share of the range; empty: 1.0"),
    "output_rate": Argument(float, "commands per second, interpolated between ticks; empty: one each tick"),
    "latch_after": Argument(float, "a fault that lasts longer [s] holds the robot until ~/rearm; empty: 5, 0: never"),
    "deadman_button": Argument(int, "button of topic joy that must be held for the robot to drive; empty: none"),
    "low_confidence": Argument(str, "off, hold or slow: what a choice that is not sure does; empty: off"),
    "min_margin": Argument(float, "sure means: the best two bins differ in Q by at least this"),
    "max_entropy": Argument(float, "sure means: entropy of the Q-values at most this share of the largest"),
    "autostart": Argument(bool, "configure and activate at start; false: wait for lifecycle transitions", "true"),
}


WATCHDOG = {name: POLICY[name] for name in ("bundle", "robot")}


def generate_launch_description():
    return description({"policy": POLICY, "watchdog": WATCHDOG})
