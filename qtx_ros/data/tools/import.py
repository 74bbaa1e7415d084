"""`qtx data import FOLDER -o SET`: a LeRobot dataset as a training set. Loaded by name: `import` is a keyword."""

from qtx_ros.data.lerobot.import_ import add_arguments, main

__all__ = ["add_arguments", "main"]
