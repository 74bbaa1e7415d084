"""pip install for machines without ROS 2; colcon uses CMakeLists.txt."""

from setuptools import find_packages, setup

SHARED = ["msg", "srv", "config", "launch", "models"]  # top-level folders that a wheel carries as qtx_ros/share/…

setup(
    name="qtx_ros",
    version="0.1.0",
    description="Offline reinforcement learning for ROS 2 robots: record, convert, train, export, drive",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["qtx_ros", "qtx_ros.*"]), "qtx_ros.share", *(f"qtx_ros.share.{f}" for f in SHARED)],
    package_dir={f"qtx_ros.share.{folder}": folder for folder in SHARED} | {"qtx_ros": "qtx_ros"},
    package_data={f"qtx_ros.share.{folder}": ["*", "*/*", "*/*/*"] for folder in SHARED},
    install_requires=["numpy", "opencv-python-headless<5", "onnxruntime", "pyyaml", "mcap", "rosbags", "tqdm"],
)
