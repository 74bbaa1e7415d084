"""The recorder node: `ros2 launch qtx_ros record.launch.py robot:=/path/to/robot.yaml directory:=bags`."""

from qtx_ros.launching import Argument, description

RECORDER = {
    "robot": Argument(str, "robot YAML, or the name of a shipped one; empty: sawyer_sim"),
    "directory": Argument(str, "folder the bags are written to; empty: bags"),
    "all_topics": Argument(bool, "record every topic there is; empty: those of the robot"),
}


def generate_launch_description():
    return description({"recorder": RECORDER})
