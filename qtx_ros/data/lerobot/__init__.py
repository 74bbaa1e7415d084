"""LeRobot datasets, written and read with pyarrow and PyAV; `lerobot` itself is not needed."""
