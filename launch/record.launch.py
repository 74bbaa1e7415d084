"""The recorder node: `ros2 launch qtx_ros record.launch.py robot:=/path/to/robot.yaml directory:=bags`."""

from qtx_ros.launching import Argument, description

RECORDER = {
    "robot": Argument(str, "robot YAML, or the name of a shipped one; empty: sawyer_sim"),
    "directory": Argument(str, "folder the bags are written to; empty: bags"),
    "split_mib": Argument(int, "begin a new file in the bag after so much [MiB]; empty: never"),
    "split_seconds": Argument(float, "begin a new file in the bag after so long [s]; empty: never"),
    "all_topics": Argument(bool, "record every topic there is; empty: those of the robot"),
}


def generate_launch_description():
    return description({"recorder": RECORDER})
