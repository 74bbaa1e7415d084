"""Messages of ROS 2 packages that rosbags does not carry: the text of the released .msg files."""

from __future__ import annotations

MESSAGES = {"control_msgs/msg/GripperCommand": "float64 position\nfloat64 max_effort"}
