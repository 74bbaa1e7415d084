"""d3rlpy's algorithms beside ours: the same transitions, trained in its own environment, tried in the same loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qtx_ros import config as configs
from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import history_indices
from qtx_ros.processes import die_with_parent
from qtx_ros.study.peers import peers_python
from qtx_ros.study.plan import PEER, Run, changed_spec

SCRIPT = Path(__file__).parents[1] / "bench/d3rlpy_peer.py"
ARRAYS, TOLD, FACTS, POLICY = "peer.npz", "peer.json", "facts.json", "policy.onnx"
FINE = 65_535  # bins of an action that is continuous


@dataclass(frozen=True)
class PeerConfig:
    """Settings of an algorithm of d3rlpy."""

    steps: int = 10_000  # gradient steps
    batch_size: int = 256
    context: int = 10  # of dt: steps it looks back
    target: float = 1.0  # of dt: the return it is asked for
    reward: float | None = None  # that the largest reward is scaled to; null: as it is stored
    algo: dict = field(default_factory=dict)  # keys of d3rlpy's configuration


def train_peer(run: Run, dataset: Dataset, place: Path) -> dict:
    """Write the transitions, train in the other environment unless that was done; returns facts of the row."""
    if not (place / POLICY).exists():
        texts = _write(run, dataset, place)
        done = subprocess.run(
            [peers_python(), str(SCRIPT), str(place.resolve())],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=place,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        if done.returncode:
            raise QtxError(f"{run.method} on {', '.join(texts)} ended with status {done.returncode}")
    return json.loads((place / FACTS).read_text())


def _write(run: Run, dataset: Dataset, place: Path) -> list[str]:
    """Transitions and settings for the other environment; returns the instructions."""
    config = configs.build(PeerConfig, run.settings(), f"study {run.study.name!r}, {run.group}")
    texts = sorted({episode.manifest["instruction"] for episode in dataset.episodes})
    dimensions = dataset.spec.dimensions
    bounds = {bound: np.array([getattr(d, bound) for d in dimensions], np.float32) for bound in ("low", "high")}
    np.savez(place / ARRAYS, **bounds, **transitions(dataset, texts, config.reward))
    longest = max(len(episode) for episode in dataset.episodes)
    told = {**configs.dump(config), "algorithm": run.method.removeprefix(PEER), "seed": run.seed}
    told |= {"instructions": texts, "max_timestep": max(longest, run.study.horizon) + 1}
    (place / TOLD).write_text(json.dumps(told))
    return texts


def transitions(dataset: Dataset, instructions: list[str], largest: float | None = None) -> dict[str, np.ndarray]:
    """float32 observations [N, T · S + I], actions [N, D] in their range, rewards [N], terminals and timeouts [N].

    An observation is the last T states, oldest first, then the instruction as one of I. Rewards are scaled so that the
    largest one is `largest`. QtxError if a step is missing.
    """
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for episode in dataset.episodes:
        columns = episode.columns
        if not columns.valid.all():
            raise QtxError(f"{episode.folder} holds invalid steps, a peer needs whole episodes")
        past = columns.state[history_indices(np.arange(len(episode)), dataset.spec.history)]  # [N, T, S]
        which = np.eye(len(instructions))[instructions.index(episode.manifest["instruction"])]
        parts["observations"].append(np.hstack([past.reshape(len(past), -1), np.tile(which, (len(past), 1))]))
        low, high = ([getattr(d, bound) for d in dataset.spec.dimensions] for bound in ("low", "high"))
        parts["actions"].append(np.clip(columns.action, low, high))
        parts["rewards"].append(columns.reward)
        last, terminated = np.arange(len(episode)) == len(episode) - 1, episode.manifest["terminated"]
        parts["terminals"].append(last & terminated)
        parts["timeouts"].append(last & (not terminated))
    arrays = {name: np.concatenate(rows).astype(np.float32) for name, rows in parts.items()}
    if largest is not None and arrays["rewards"].max() > 0:
        arrays["rewards"] *= largest / arrays["rewards"].max()
    return arrays


@dataclass(frozen=True)
class PeerChoice:
    """What a peer decided."""

    values: np.ndarray  # float64 [D]


class PeerPolicy:
    """A policy of d3rlpy: `spec`, `reset`, `instruct` and `act` as of ours, its actions continuous."""

    def __init__(self, run: Run, place: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(place / POLICY), options)
        self._told = json.loads((place / TOLD).read_text())
        self._history = run.spec().history
        self.spec = changed_spec(run.spec(), FINE, None)
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._states: list[np.ndarray] = []
        self._seen: list[np.ndarray] = []
        self._done: list[np.ndarray] = []

    def instruct(self, text: str) -> None:
        """Take an instruction; QtxError for one that was not in the data."""
        known = self._told["instructions"]
        if text not in known:
            raise QtxError(f"instruction is {text!r}, the data have {', '.join(map(repr, known))}")
        self._task = np.eye(len(known))[known.index(text)]

    def act(self, frames: Mapping[str, np.ndarray], state: np.ndarray) -> PeerChoice:
        """Decide on a state of S numbers; frames are not looked at."""
        self._states.append(np.asarray(state, np.float64))
        past = [self._states[i] for i in history_indices(len(self._states) - 1, self._history)]
        self._seen.append(np.concatenate([*past, self._task]).astype(np.float32))
        inputs = self._window() if self._told["algorithm"] == "dt" else {"input_0": self._seen[-1][None]}
        action = self._session.run(None, inputs)[0].reshape(-1).astype(np.float64)
        self._done.append(action.astype(np.float32))
        return PeerChoice(action)

    def _window(self) -> dict[str, np.ndarray]:
        """What a Decision Transformer looks at: the last steps, zeros before the first, no action yet in the last."""
        context, count = self._told["context"], len(self._seen)
        width = len(self.spec.dimensions)
        actions = [*self._done, np.zeros(width, np.float32)]
        used = min(context, count)

        def padded(rows: np.ndarray) -> np.ndarray:
            return np.concatenate([np.zeros((context - used, *rows.shape[1:]), rows.dtype), rows])

        return {
            "observations": padded(np.stack(self._seen[-used:])),
            "actions": padded(np.stack(actions[-used:])),
            "returns": padded(np.full((used, 1), self._told["target"], np.float32)),
            "timesteps": padded(np.arange(count - used + 1, count + 1)),
            "masks": padded(np.ones(used, np.float32)),
        }
