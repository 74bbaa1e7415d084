"""Pictures rebuilt from their tokens: the error by hand, what it teaches the encoder, and that a run survives it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import PARTS, SMALL, small_config, small_spec, write_small_set

from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.learn import contexts
from qtx_ros.learn.methods import METHODS
from qtx_ros.learn.rebuild import SIZE, Rebuild, small
from qtx_ros.learn.trainer import Trainer, open_windows

WEIGHT = 0.5


def trainer_and_batch(tmp_path, cameras: int = 1, **changes):
    settings = small_config(rebuild=WEIGHT, shift=0, steps=60, learning_rate=3e-3, **changes)
    folder = write_small_set(tmp_path / "set", small_spec(cameras=cameras))
    windows = open_windows(Dataset.open(folder), settings)
    trainer = Trainer(windows.spec, settings, 0)
    trainer.set_statistics(windows)
    return trainer, windows.batch(np.arange(16))


def test_small_pictures_are_means_of_areas():
    frames = torch.zeros(1, 2, 2 * SIZE, 2 * SIZE, 3, dtype=torch.uint8)
    frames[0, 1, :2, 2:4, 2] = torch.tensor([[10, 20], [30, 40]])  # blue of the second camera
    found = small(frames).reshape(2, 3, SIZE, SIZE)
    assert found[1, 2, 0, 1] == 25 and found.sum() == 25


def test_the_error_by_hand():
    rebuild = Rebuild(tokens=1, width=2, cameras=1)
    dark, bright = torch.full((1, 1, SIZE, SIZE, 3), 10), torch.full((1, 1, SIZE, SIZE, 3), 14)
    both = torch.cat([dark, bright]).to(torch.uint8)
    rebuild.set_statistics(both)
    assert rebuild.mean.unique().tolist() == [12.0] and rebuild.std.item() == 3.0  # 2, and 1 so that noise stays small
    with torch.no_grad():
        for parameter in rebuild.decode.parameters():
            parameter.zero_()
        assert rebuild(torch.zeros(2, 1, 2), both).item() == pytest.approx((2 / 3) ** 2)
        rebuild.decode[-1].bias.fill_(1.0)  # now 3 levels too bright: right is -2/3 and 2/3
        assert rebuild(torch.zeros(2, 1, 2), both).item() == pytest.approx(((5 / 3) ** 2 + (1 / 3) ** 2) / 2)


@pytest.mark.parametrize("method", list(METHODS))
def test_it_is_added_to_the_loss_of_every_method_and_frames_are_encoded_once(tmp_path, method):
    trainer, arrays = trainer_and_batch(tmp_path, method=method, model=replace(SMALL, **PARTS.get(method, {})))
    batch, encoded = trainer.prepare(arrays), []
    trainer.model.encoder.register_forward_hook(lambda *_: encoded.append(1))
    with torch.no_grad():
        loss, metrics = trainer.loss(batch)
        assert len(encoded) == 1
        alone, _ = METHODS[method](trainer.model, trainer.target, batch, trainer.config)
        used = batch["here"].unique()
        error = trainer.rebuild(contexts.encode(trainer.model, batch, used), batch["frames"][used])
    assert metrics["rebuild"].item() == pytest.approx(error.item(), rel=1e-5) and error > 0.5
    assert loss.item() == pytest.approx(alone.item() + WEIGHT * error.item(), rel=1e-5)


@pytest.mark.parametrize("cameras", [1, 2])
def test_the_encoder_learns_from_it(tmp_path, cameras):
    trainer, batch = trainer_and_batch(tmp_path, cameras, alpha=0.0)
    errors = [trainer.update(batch)["rebuild"].item() for _ in range(60)]
    assert errors[-1] < 0.8 * errors[0]
    trainer.loss(trainer.prepare(batch))[1]["rebuild"].backward()
    assert all(p.grad is not None and p.grad.any() for p in trainer.model.encoder.stem.parameters())


def test_a_resumed_run_has_the_same_weights(tmp_path):
    whole, batch = trainer_and_batch(tmp_path)
    for _ in range(4):
        whole.update(batch)
    whole.save(tmp_path)
    resumed = Trainer(whole.spec, whole.config, 1)  # of another seed: all comes from the checkpoint
    resumed.load(tmp_path)
    resumed.seed = 0
    for trainer in (whole, resumed):
        trainer.update(batch)
    for mine, theirs in ((whole.model, resumed.model), (whole.rebuild, resumed.rebuild)):
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in mine.state_dict().items())


def test_a_robot_without_cameras_has_nothing_to_rebuild():
    with pytest.raises(QtxError, match="rebuild is 0.5, expected 0: the robot has no camera"):
        Trainer(small_spec(cameras=0), small_config(rebuild=WEIGHT), 0)
