"""Instructions dropped in training: as often as asked; what is learned without them is where guidance starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import SMALL, small_config, small_spec, write_small_set

from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.learn.augment import drop_text
from qtx_ros.learn.trainer import Trainer, open_windows, to_tensors
from qtx_ros.model.guidance import GuidedPolicy
from qtx_ros.preprocess import text_tokens


def batch_of(tmp_path, settings):
    windows = open_windows(Dataset.open(write_small_set(tmp_path / "set", small_spec((5,)))), settings)
    return windows.batch(np.arange(32))


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_trained_instructions_are_dropped_at_the_configured_rate(tmp_path, probability):
    settings = small_config(text_drop=probability, steps=40)
    trainer, batch = Trainer(small_spec((5,)), settings, 0), batch_of(tmp_path, settings)
    seen = {"online": [], "target": []}
    for name, network in (("online", trainer.model), ("target", trainer.target)):
        network.text.register_forward_hook(lambda _, args, __, name=name: seen[name].append(args[0]))
    for _ in range(settings.steps):
        trainer.update(batch)
    online, target = (torch.cat(seen[name]) for name in ("online", "target"))
    dropped, count = (online == 0).all(1), len(online)
    assert count == 40 * 32
    bound = 4 * (probability * (1 - probability) / count) ** 0.5
    assert abs(dropped.float().mean().item() - probability) <= bound
    assert torch.equal(online, target)  # a transition bootstraps under its own condition
    assert torch.equal(online[~dropped], torch.as_tensor(batch["tokens"]).repeat(40, 1)[~dropped])


def test_dropping_hits_whole_instructions_at_random_places():
    tokens, generator = torch.ones(10_000, 4, dtype=torch.int64), torch.Generator().manual_seed(0)
    dropped = drop_text(tokens, torch.arange(10_000), 10_000, 0.15, generator)
    assert torch.equal(dropped.amin(1), dropped.amax(1))
    both = ((dropped[1:, 0] == 0) & (dropped[:-1, 0] == 0)).float().mean().item()
    assert abs(both - 0.15**2) < 4 * (0.15**2 / 9_999) ** 0.5


def test_the_null_condition_learns_the_mixture_and_guidance_moves_away_from_it(tmp_path):
    """Two instructions for the same pictures: "left" means bin 0, "right" bin 4."""
    settings = small_config(method="bc", text_drop=0.3, learning_rate=1e-2, steps=150)
    batch = batch_of(tmp_path, settings)
    left = np.arange(32) % 2 == 0
    batch["tokens"] = np.where(left[:, None], text_tokens("left"), text_tokens("right"))
    batch["bins"] = np.where(left, 0, 4)[:, None]
    batch["frames"], batch["state"] = np.zeros_like(batch["frames"]), np.zeros_like(batch["state"])
    trainer = Trainer(small_spec((5,)), settings, 0)
    for _ in range(settings.steps):
        trainer.update(batch)

    @torch.no_grad()
    def logits(policy, text: str) -> torch.Tensor:
        tensors = to_tensors(batch, trainer.device)
        features = policy.instruct(torch.as_tensor(text_tokens(text))[None])
        ring = policy.encode(tensors["frames"][:1], tensors["state"][:1], features)[:, None].expand(-1, 2, -1, -1)
        return policy.q_values(policy.context(ring), torch.zeros(1, 1, dtype=torch.int64))[0, 0]

    plain, guided = trainer.model.eval(), GuidedPolicy(trainer.model, 2.0).eval()
    chances = logits(plain, "").softmax(-1)
    assert abs(chances[0] - 0.5) < 0.2 and abs(chances[4] - 0.5) < 0.2
    for text, wanted, other in (("left", 0, 4), ("right", 4, 0)):
        plainly, guidedly = ((q[wanted] - q[other]).item() for q in (logits(plain, text), logits(guided, text)))
        assert plainly > 1 and guidedly > 1.5 * plainly


def test_guidance_without_a_trained_null_condition_is_refused():
    with pytest.raises(QtxError, match="guidance 2.0 needs a text_drop above 0"):
        small_config(model=replace(SMALL, guidance=2.0))
