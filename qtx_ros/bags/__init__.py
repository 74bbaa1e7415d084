"""Bags: writing, reading, labelling and repairing rosbag2 recordings. Knows no ROS backend and no training set."""
