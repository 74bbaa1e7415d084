"""A small robot, a small network and a small training set, written as the converter writes them."""

from __future__ import annotations

import numpy as np
import torch

from qtx_ros.data.dataset import write_index
from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import ModelConfig
from qtx_ros.preprocess import bin_values
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

torch.set_num_threads(1)
SMALL = ModelConfig(channels=(4, 8), grid=1, cell=2, width=16, heads=2, decoder_layers=1, text_width=8)
PARTS = {"iql": {"actor": True}, "dt": {"returns": True}}  # of the network that a method needs


def small_spec(
    bins: tuple[int, ...] = (5, 7, 3), history: int = 2, size: int = 16, cameras: int = 1, curve: float = 1.0
) -> Spec:
    """A robot with `len(bins)` absolute action dimensions in ±1 and two state values."""
    dimensions = tuple(ActionDimension(f"d{i}", -1, 1, n, curve=curve) for i, n in enumerate(bins))
    return Spec(
        name="small",
        rate=10.0,
        history=history,
        cameras=tuple(Camera(f"camera{i}", f"camera{i}/image", size, size) for i in range(cameras)),
        states=(StateStream("joint_states", ("a", "b")),),
        commands=(CommandStream("command", dimensions),),
    )


def small_config(**changes) -> TrainConfig:
    """A configuration that trains in a moment."""
    return TrainConfig(**{"steps": 6, "batch_size": 8, "warmup_steps": 1, "log_every": 1, "model": SMALL, **changes})


def write_small_set(folder, spec: Spec, episodes: int = 4, length: int = 10, seed: int = 0, instruction="do it"):
    """Random episodes, every second one a success that earns 1 at its last step; returns the folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(episodes):
        success = k % 2 == 0
        actions = np.stack([rng.choice(bin_values(d), length) for d in spec.dimensions], 1)
        reward = np.zeros(length)
        reward[-1] = success
        columns = Columns(
            state=rng.normal(size=(length, len(spec.state_names))),
            action=actions,
            reward=reward,
            tick=np.arange(length) * spec.period_ns,
            valid=np.ones(length, bool),
            age=np.zeros((length, len(spec.cameras) + len(spec.states))),
        )
        shapes = {camera.name: (length, camera.height, camera.width, 3) for camera in spec.cameras}
        frames = {name: rng.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}
        info = {"instruction": instruction, "label": "success" if success else "failure", "source": "test"}
        ends = {"terminated": True, "truncated": False}
        write_episode(folder, f"episode{k}", spec, frames, columns, {**info, **ends}, "raw")
    write_index(folder, spec)
    return folder


def assert_each_dimension_sees_the_bins_before_it(model, context, bins) -> None:
    """Teacher forced on bins int64 [1, 3], none of them 0: another bin changes the Q of later dimensions only."""
    q = model.q_values(context, bins)
    for changed in range(3):
        other = bins.clone()
        other[0, changed] = 0
        different = (model.q_values(context, other) - q).nan_to_num(0).abs().amax(-1)[0] > 1e-6
        assert different.tolist() == [i > changed for i in range(3)]
