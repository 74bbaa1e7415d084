"""`qtx data export SET… -o FOLDER`: a training set as a LeRobot dataset."""

from qtx_ros.data.lerobot.export import add_arguments, main

__all__ = ["add_arguments", "main"]
