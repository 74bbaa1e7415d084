"""A network in training that drives, without an export: for an agent in the learner's own process."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch

from qtx_ros import config as configs
from qtx_ros.data.frames import frame_shape
from qtx_ros.deploy.policy import Choice
from qtx_ros.learn.sentences import text_reader
from qtx_ros.model.guidance import inference
from qtx_ros.model.policy import QTransformer
from qtx_ros.preprocess import decided_together, from_bins
from qtx_ros.spec import Spec


class NetworkPolicy:
    """`reset()`, `instruct(text)`, `act(frames, state)` of `deploy.policy.Policy`, on a network as it is right now."""

    def __init__(self, model: QTransformer, spec: Spec) -> None:
        self.spec, self._model, self._policy = spec, model, inference(model)
        self.cells = decided_together(spec, configs.dump(model.config))
        self._device, self._read = next(model.parameters()).device, text_reader(model.config)
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._ring: torch.Tensor | None = None

    def instruct(self, text: str) -> None:
        """Take an instruction; encoded anew each tick, for the weights may change between two."""
        self._tokens = torch.as_tensor(self._read(text), device=self._device)[None]

    @torch.inference_mode()
    def act(self, frames: Mapping[str, np.ndarray], state: np.ndarray) -> Choice:
        """Choose an action from one uint8 [H, W, 3] frame per camera (network size) and a state of S numbers."""
        begin, policy, training = time.perf_counter_ns(), self._policy, self._model.training
        pictures = np.array([frames[c.name] for c in self.spec.cameras], np.uint8).reshape(frame_shape(self.spec))
        seen, measured = (torch.as_tensor(array, device=self._device)[None] for array in (pictures, state))
        ready = time.perf_counter_ns()
        self._model.eval()
        newest = policy.encode(seen, measured.float(), policy.instruct(self._tokens))  # [1, K, W]
        first = torch.tensor([self._ring is None], device=self._device)
        before = newest.new_zeros(1, *policy.ring_shape) if self._ring is None else self._ring
        ring = policy.push(newest, before, first)  # [1, T, K, W]
        found = policy.decode(policy.context(ring))
        self._ring = policy.store(ring, measured.float(), found[0])
        bins, q, q_all = (x[0].cpu().numpy() for x in found)
        self._model.train(training)
        return Choice(bins, from_bins(self.spec, bins), q, q_all, ready - begin, time.perf_counter_ns() - ready)
