"""A small training set on disk, written as the converter writes it, with what goes wrong on real robots."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qtx_ros.data.episode import Columns, write_episode
from qtx_ros.data.index import write_index
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

SPEC = Spec(
    name="toy",
    rate=10.0,
    history=2,
    cameras=(Camera("front", "front/image", 16, 16), Camera("wrist", "wrist/image", 16, 16)),
    states=(StateStream("joints", ("a", "b")),),
    commands=(
        CommandStream("command", (ActionDimension("a", -1, 1, 11, "delta"), ActionDimension("grip", -1, 1, 5))),
    ),
)


def add_episode(
    root: Path, name: str, count: int = 12, label: str = "success", lost=(), human=(), action=None, frames=None, seed=0,
    codec: str = "jpeg", state=None, **info,
) -> Path:
    """Write an episode of random pictures and actions, and the index; `lost` steps are invalid, `info` is put into the
    manifest."""
    rng = np.random.default_rng([seed, *name.encode("utf-8", "surrogateescape")])
    valid, intervention = np.ones(count, bool), np.zeros(count, bool)
    valid[list(lost)], intervention[list(human)] = False, True
    drawn = np.cumsum(rng.normal(0, 0.1, (count, 2)), 0)
    state = drawn if state is None else np.array(state, float)
    action = rng.uniform(-0.9, 0.9, (count, 2)) if action is None else np.array(action, float)
    state[~valid], action[~valid] = np.nan, np.nan
    reward = np.zeros(count)
    reward[-1] = label == "success"
    age = np.tile([0.02, 0.03, 0.01], (count, 1))
    columns = Columns(state, action, reward, np.arange(count) * SPEC.period_ns, valid, age, intervention)
    if frames is None:
        frames = {camera.name: rng.integers(0, 256, (count, 16, 16, 3), np.uint8) for camera in SPEC.cameras}
    done = label in ("success", "failure")
    source = {"bag": f"bags/{name}", "key": {"sha256": f"{name} {seed}", "mark": ""}, "comment": ""}
    facts = {"instruction": "push", "label": label, "terminated": done, "truncated": not done, "source": source}
    write_episode(root, name, SPEC, frames, columns, {**facts, **info}, codec)
    write_index(root, SPEC)
    return root


def small_set(root: Path, episodes: int = 4, seed: int = 0) -> Path:
    """A sound set of successes and failures, two of each three a success."""
    root.mkdir(parents=True, exist_ok=True)
    for k in range(episodes):
        add_episode(root, f"e{k:03d}", label="failure" if k % 3 == 2 else "success", seed=seed)
    return root
