"""Run by a Python that has `lerobot`: `load` what we wrote with it, or `write` the same frames with its own writer.

    python lerobot_peer.py load DATASET OUT.npz [BACKEND]      every step of a dataset through LeRobotDataset
    python lerobot_peer.py write FRAMES OUT [KEY=VALUE …]      its own writer; prints one JSON line of what that took

It imports nothing of this package, so that the two environments need not fit together.
"""

import inspect
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def load(root: str, out: str, backend: str = "pyav") -> None:
    """Save every column [steps, …] to `out`, frames as uint8 [steps, H, W, 3], and LeRobot's statistics as JSON."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("local/check", root=root, video_backend=backend)
    columns = {}
    for item in (dataset[i] for i in range(len(dataset))):
        for key, value in item.items():
            columns.setdefault(key, []).append(value if isinstance(value, str) else value.numpy())
    columns = {key: np.stack(values) for key, values in columns.items()}
    for key in dataset.meta.camera_keys:  # float [0, 1], channels first
        columns[key] = np.round(columns[key].transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    stats = {key: {name: value.tolist() for name, value in s.items()} for key, s in dataset.meta.stats.items()}
    counts = {"episodes": dataset.num_episodes, "frames": dataset.num_frames, "fps": dataset.fps}
    np.savez(out, **columns, stats=json.dumps(stats), info=json.dumps(counts))


def write(source: str, out: str, *options: str) -> None:
    """Write the steps in the folder `source` (`features.json`, `steps.npz`, frames as `KEY.npy`) with add_frame."""
    import lerobot
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    source = Path(source)
    recipe = json.loads((source / "features.json").read_text())
    steps = dict(np.load(source / "steps.npz"))
    episode, task = steps.pop("episode"), steps.pop("task")
    for key in recipe["features"]:
        if (source / f"{key}.npy").exists():
            steps[key] = np.load(source / f"{key}.npy", mmap_mode="r")
    features = {key: {**f, "shape": tuple(f["shape"])} for key, f in recipe["features"].items()}
    given = {key: json.loads(value) for key, value in (option.split("=", 1) for option in options)}
    dataset = LeRobotDataset.create("local/bench", recipe["fps"], features, root=out, **_known(given))
    before, started = _cpu(), time.perf_counter()
    for i in range(len(episode)):
        values = {key: np.asarray(column[i]).reshape(features[key]["shape"]) for key, column in steps.items()}
        dataset.add_frame({**values, "task": str(task[i])})
        if i + 1 == len(episode) or episode[i + 1] != episode[i]:
            dataset.save_episode()
    dataset.finalize()
    took = {"cpu_s": _cpu() - before, "wall_s": time.perf_counter() - started}
    print(json.dumps({"lerobot": lerobot.__version__, **took}))


def _known(given: dict) -> dict:
    """The options as this version of lerobot takes them: from 0.5 on the codec is part of an encoder's settings."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    if "vcodec" in given and "vcodec" not in inspect.signature(LeRobotDataset.create).parameters:
        from lerobot.configs import RGBEncoderConfig

        return {key: value for key, value in given.items() if key != "vcodec"} | {
            "rgb_encoder": RGBEncoderConfig(vcodec=given["vcodec"])
        }
    return given


def _cpu() -> float:
    """CPU seconds of this process with all its threads, and of its children."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, which has a lerobot.py of its own
    {"load": load, "write": write}[sys.argv[1]](*sys.argv[2:])
