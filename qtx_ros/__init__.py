"""Offline reinforcement learning for ROS 2 robots: record, convert, train, export, drive."""

from pkgutil import extend_path

__version__ = "0.1.0"
__path__ = extend_path(__path__, __name__)  # a checkout finds the messages that colcon generated in a sourced workspace
