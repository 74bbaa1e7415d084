"""Simulated robot, policy and recorder together: `ros2 launch qtx_ros demo.launch.py bundle:=sawyer_sim`."""

from qtx_ros.launching import Argument, description

ROBOT = {"robot": Argument(str, "robot YAML, or the name of a shipped one", "sawyer_sim")}
SIM = {
    "task": Argument(str, "the first episode's task, a name or an instruction; empty: drawer-open"),
    "seed": Argument(int, "the first episode's seed; empty: 0"),
}
POLICY = {
    "bundle": Argument(str, "folder of the policy's bundle, or the name of a shipped one", "sawyer_sim"),
    "device": Argument(str, "auto, cpu, cuda or tensorrt; empty: auto"),
    "instruction": Argument(str, "what to do, in words; empty: what the simulated robot says"),
    "autostart": Argument(bool, "let the policy drive at once; false: wait for lifecycle transitions", "true"),
}
RECORDER = {"directory": Argument(str, "folder the bags are written to; empty: bags")}


def generate_launch_description():
    return description({"sim": ROBOT | SIM, "policy": ROBOT | POLICY, "recorder": ROBOT | RECORDER})
