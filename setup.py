"""pip install, for machines without ROS 2 and for training; colcon uses CMakeLists.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "qtx_ros/__init__.py").read_text()).group(1)
SHARED = ["msg", "srv", "config", "launch", "models"]  # top-level folders that a wheel carries as qtx_ros/share/…

BASE = [
    "numpy>=1.21",
    "opencv-python-headless>=4.5,<5",
    "simplejpeg>=1.8; platform_machine in 'x86_64 aarch64 arm64 AMD64'",  # faster JPEG; OpenCV decodes without it
    "onnxruntime>=1.16",
    "pyyaml>=5.4",
    "mcap>=1.1",
    "rosbags>=0.11.9",  # bounds what a message may claim to hold; brings apsw and backports.zstd, which we use, too
    "tqdm>=4.60",
    "ruckig>=0.14; platform_machine == 'x86_64'",  # velocity limits; builds from source elsewhere
    "cyclonedds==11.0.1; platform_system == 'Linux' and platform_machine == 'x86_64' and python_version < '3.14'",
]
TRAIN = ["torch>=2.9", "safetensors>=0.4", "onnx>=1.17", "onnxscript>=0.5", "einops>=0.7", "tensorboard>=2.14"]
SIM = [
    "metaworld==3.1.1; python_version < '3.14'",
    "mujoco==3.3.0; python_version < '3.14'",  # what Meta-World is made for; it has no wheel for newer Pythons
    "packaging",
    "matplotlib>=3.5",
    "scipy>=1.9",
]
LEROBOT = ["pyarrow>=17", "av>=14.2"]  # LeRobot datasets, written and read without lerobot

RAY = ["ray>=2.9"]
S3 = ["fsspec>=2023.1", "s3fs>=2023.1"]

setup(
    name="qtx_ros",
    version=VERSION,
    description="Offline reinforcement learning for ROS 2 robots: record, convert, train, export, drive",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["qtx_ros", "qtx_ros.*"]), *(f"qtx_ros.share.{folder}" for folder in SHARED)],
    package_dir={"qtx_ros": "qtx_ros", **{f"qtx_ros.share.{folder}": folder for folder in SHARED}},
    package_data={
        "qtx_ros": ["**/*.srv", "**/*.msg", "**/*.txt", "**/*.yaml"],
        **{f"qtx_ros.share.{folder}": ["**/*"] for folder in SHARED},
    },
    install_requires=BASE,
    extras_require={
        "train": TRAIN,
        "sim": SIM,
        "gpu": ["onnxruntime-gpu>=1.16"],  # replaces onnxruntime: see README, "GPU"
        "lerobot": LEROBOT,
        "ray": RAY,
        "s3": S3,
        "dev": [*TRAIN, *SIM, *RAY, *S3, "moto[server]>=5", *LEROBOT, "pytest>=7", "hypothesis>=6", "ruff>=0.4"],
    },
    entry_points={"console_scripts": ["qtx = qtx_ros.cli:main"]},
)
