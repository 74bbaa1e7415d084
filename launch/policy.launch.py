"""The policy node: `ros2 launch qtx_ros policy.launch.py bundle:=/path/to/bundle robot:=/path/to/robot.yaml`."""

from qtx_ros.launching import Argument, description

POLICY = {
    "bundle": Argument(str, "folder of the policy's bundle, or the name of a shipped one (needed)"),
    "robot": Argument(str, "robot YAML, or the name of a shipped one; empty: the contract in the bundle"),
    "device": Argument(str, "auto, cpu, cuda or tensorrt; empty: auto"),
    "threads": Argument(int, "threads of ONNX Runtime; empty: 1"),
    "instruction": Argument(str, "what to do, in words; empty: what the instruction topic says"),
    "max_step": Argument(float, "largest step of a command per tick, as a share of the range; empty: 1.0"),
    "autostart": Argument(bool, "configure and activate at start; false: wait for lifecycle transitions", "true"),
}


def generate_launch_description():
    return description({"policy": POLICY})
