"""Offline reinforcement learning for ROS 2 robots: record, convert, train, export, drive."""

__version__ = "0.1.0"
