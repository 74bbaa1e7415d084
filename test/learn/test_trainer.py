"""Training runs: they learn what can be known, repeat themselves, survive a kill, and refuse what they cannot use."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import PARTS, SMALL, small_config, small_spec, write_small_set

from qtx_ros import cli, config
from qtx_ros.data.dataset import Dataset
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint, contexts, methods, train
from qtx_ros.learn.settings import TrainConfig, learning_rate
from qtx_ros.learn.trainer import Trainer, open_windows, to_tensors


def windows_of(tmp_path, spec=None, settings=None, **options):
    return open_windows(Dataset.open(write_small_set(tmp_path / "set", spec or small_spec(), **options)), settings)


def trained(windows, settings, seed=0) -> Trainer:
    trainer = Trainer(windows.spec, settings, seed)
    trainer.set_statistics(windows)
    batches = windows.batches(settings.batch_size, seed, 0, prefetch=0)
    for _ in range(settings.steps):
        trainer.update(next(batches))
    return trainer


@pytest.mark.parametrize("method", list(methods.METHODS))
@pytest.mark.parametrize("bins", [(5, 7, 3), (4,)], ids=["three dimensions", "one dimension"])
def test_every_method_reduces_its_loss(tmp_path, method, bins):
    network = replace(SMALL, **PARTS.get(method, {}))
    settings = small_config(method=method, model=network, steps=60, learning_rate=3e-3, clip_norm=100.0)
    windows = windows_of(tmp_path, small_spec(bins), settings)
    trainer, batch = Trainer(windows.spec, settings, 0), windows.batch(np.arange(8))
    losses = [trainer.update(batch)["loss"].item() for _ in range(settings.steps)]
    assert losses[-1] < 0.7 * losses[0]


def test_unseen_actions_go_to_zero_and_seen_ones_to_their_return(tmp_path):
    settings = small_config(steps=400, learning_rate=5e-3, shift=0, target_rate=0.1)
    windows = windows_of(tmp_path, small_spec((5, 3), size=8), settings, episodes=2, length=4)
    trainer = Trainer(windows.spec, settings, 0)
    batch = windows.batch(np.arange(len(windows)))
    for _ in range(settings.steps):
        trainer.update(batch)
    tensors = to_tensors(batch, trainer.device)
    model = trainer.model.eval()
    with torch.no_grad():
        q = model.q_values(contexts.online(model, tensors), tensors["bins"])
    taken = q.gather(-1, tensors["bins"][..., None])[..., 0]
    unseen = torch.isfinite(q).scatter(-1, tensors["bins"][..., None], False)
    assert q[unseen].abs().mean() < 0.1
    torch.testing.assert_close(taken, tensors["returns"][:, None].expand_as(taken), atol=0.2, rtol=0)


def test_an_empty_instruction_trains(tmp_path):
    settings = small_config()
    trainer = trained(windows_of(tmp_path, None, settings, instruction=""), settings)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(tmp_path):
    settings = small_config(state_noise=0.1)
    windows = windows_of(tmp_path, None, settings)
    a, b, other = trained(windows, settings), trained(windows, settings), trained(windows, settings, seed=1)
    assert all(torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(a.model.parameters(), other.model.parameters(), strict=True))


def test_target_network_is_in_eval_mode_frozen_and_follows_slowly(tmp_path):
    settings = small_config(target_rate=0.1, steps=1)
    windows = windows_of(tmp_path, None, settings)
    trainer = Trainer(windows.spec, settings, 0)
    before = [p.clone() for p in trainer.target.parameters()]
    trainer.update(windows.batch(np.arange(8)))
    assert trainer.model.training and not any(module.training for module in trainer.target.modules())
    assert not any(p.requires_grad for p in trainer.target.parameters())
    for start, online, target in zip(before, trainer.model.parameters(), trainer.target.parameters(), strict=True):
        torch.testing.assert_close(target, start + 0.1 * (online - start))


def encoded_in_a_step(windows, settings, transitions) -> dict[str, int]:
    """How many frames and instructions each network encodes in one step on these transitions."""
    trainer, encoded = Trainer(windows.spec, settings, 0), {}

    def count(module, name):
        module.register_forward_hook(lambda _, args, __: encoded.update({name: len(args[0])}))

    for name, network in (("online", trainer.model), ("target", trainer.target)):
        count(network.encoder, name)
        count(network.text, f"{name} text")
    trainer.update(windows.batch(np.array(transitions)))
    return encoded


def test_each_frame_is_encoded_once_per_network(tmp_path):
    settings = small_config(n_step=3)
    windows = windows_of(tmp_path, None, settings)
    encoded = encoded_in_a_step(windows, settings, [4, 14, 24, 34])
    assert (encoded["online"], encoded["target"]) == (4 * 2, 4 * 4)  # s and s′ of history 2, three steps apart


def test_a_chunk_encodes_what_its_windows_share_once(tmp_path):
    settings = small_config(chunk=4)
    windows = windows_of(tmp_path, None, settings)
    encoded = encoded_in_a_step(windows, settings, [2, 3, 4, 5, 12, 13, 14, 15])
    assert encoded == {"online": 2 * 5, "target": 2 * 6, "online text": 2, "target text": 2}


def test_chunks_change_what_is_encoded_but_not_what_is_learned(tmp_path):
    settings = small_config(shift=0, n_step=2)
    windows = windows_of(tmp_path, None, settings)
    together = open_windows(windows.dataset, replace(settings, chunk=8))
    picked = np.array([3, 4, 5, 6, 7, 20, 21, 22])
    losses = [Trainer(w.spec, settings, 0).update(w.batch(picked)) for w in (windows, together)]
    assert len(together.batch(picked)["frames"]) < len(windows.batch(picked)["frames"])
    for name in ("loss", "gradient_norm"):
        torch.testing.assert_close(losses[0][name], losses[1][name])


def test_recomputing_gives_the_same_step_and_bfloat16_nearly(tmp_path):
    settings = small_config(chunk=4)
    windows = windows_of(tmp_path, None, settings)
    batch = windows.batch(np.arange(10, 18))
    plain, again, mixed = (
        Trainer(windows.spec, replace(settings, **changes), 0).update(batch)
        for changes in ({}, {"recompute": 3}, {"precision": "bfloat16"})
    )
    for name in ("loss", "gradient_norm"):
        torch.testing.assert_close(plain[name], again[name])
        torch.testing.assert_close(plain[name], mixed[name], rtol=0.05, atol=0)
        assert plain[name] != mixed[name]


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_a_compiled_encoder_learns_the_same(tmp_path, monkeypatch):
    from torch._inductor import config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    settings = small_config(method="bc", model=replace(SMALL, channels=(4,)))  # little to compile: 30 s of one core
    windows, compiled = windows_of(tmp_path, None, settings), replace(settings, compile=True)
    batches = windows.batch(np.arange(8)), windows.batch(np.arange(20, 30))  # other numbers of frames
    trainers = [Trainer(windows.spec, told, 0) for told in (settings, compiled)]
    with inductor.patch({"compile_threads": 1, "cpp.simdlen": 1}):  # neither other processes nor wide registers
        steps = [[trainer.update(batch) for batch in batches] for trainer in trainers]
    assert list((tmp_path / "inductor").rglob("*.cpp"))  # it was
    for plain, other in zip(*steps, strict=True):
        for name in ("loss", "gradient_norm"):
            torch.testing.assert_close(plain[name], other[name], rtol=1e-4, atol=1e-6)


def test_a_bin_outside_its_dimension_is_an_error(tmp_path):
    settings = small_config()
    windows = windows_of(tmp_path, None, settings)
    batch = windows.batch(np.arange(8))
    batch["bins"][3, 2] = 3
    with pytest.raises(QtxError, match="bin 3 in dimension 2, expected 0 to 2"):
        Trainer(windows.spec, settings, 0).update(batch)


def test_biases_norms_and_static_hyper_connections_have_no_weight_decay():
    trainer = Trainer(small_spec(), small_config(weight_decay=0.5, model=replace(SMALL, hyper_streams=2)), 0)
    decay = {id(p): group["weight_decay"] for group in trainer.optimiser.param_groups for p in group["params"]}
    found = {name: decay[id(p)] for name, p in trainer.model.named_parameters()}
    assert len(found) == len(decay)
    static = {name for name in found if name.endswith(".mix")}
    vectors = {name for name, p in trainer.model.named_parameters() if p.ndim < 2}
    assert static and {name for name, value in found.items() if value == 0} == static | vectors
    assert found["decoder.bin_embedding.weight"] == found["decoder.blocks.0.connections.0.mix_by_token"] == 0.5


def test_learning_rate_warms_up_and_decays():
    settings = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    assert learning_rate(0, settings) == pytest.approx(0.1)
    assert learning_rate(10, settings) == pytest.approx(0.91)
    assert learning_rate(99, settings) == pytest.approx(1 - 0.9 * 0.99)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"batchsize": 3}, "unknown key 'batchsize'"), ({"model": {"depth": 3}}, "unknown key 'depth'"),
     ({"gamma": 1.5}, "gamma is 1.5"), ({"steps": 0}, "steps is 0"), ({"alpha": "much"}, "alpha: got 'much'")],
)  # fmt: skip
def test_a_bad_configuration_is_named(changes, message):
    with pytest.raises(QtxError, match=message):
        config.build(TrainConfig, changes, "config.yaml")


def test_an_unknown_method_or_device_is_named():
    with pytest.raises(QtxError, match="method is 'sarsa', expected one of q, bc, iql, cql, dt"):
        Trainer(small_spec(), small_config(method="sarsa"), 0)
    with pytest.raises(QtxError, match="device 'abacus' cannot be used"):
        Trainer(small_spec(), small_config(device="abacus"), 0)


# --- the command ---

def command(tmp_path, settings, run="run", *options) -> list[str]:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.dump(settings)))
    return ["train", str(tmp_path / "set"), "-o", str(tmp_path / run), "--config", str(path), *options]


def checkpoint_of(folder) -> dict:
    groups, _ = checkpoint.load_checkpoint(folder)
    return {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}


def test_a_killed_run_continues_to_identical_bits(tmp_path):
    write_small_set(tmp_path / "set", small_spec())
    settings = small_config(steps=120, save_every=5)
    assert cli.main(command(tmp_path, settings, "whole")) == 0
    process = subprocess.Popen([sys.executable, "-m", "qtx_ros", *command(tmp_path, settings, "killed")])
    weights = tmp_path / "killed" / checkpoint.CHECKPOINT
    while not weights.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _, progress = checkpoint.load_checkpoint(tmp_path / "killed")
    assert 0 < progress["step"] < settings.steps
    assert cli.main(command(tmp_path, settings, "killed", "--resume")) == 0
    whole, resumed = checkpoint_of(tmp_path / "whole"), checkpoint_of(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_ctrl_c_in_the_middle_of_a_step_saves_a_whole_one(tmp_path):
    settings = small_config(steps=6)
    windows = windows_of(tmp_path, None, settings)
    trainer = Trainer(windows.spec, settings, 0)
    trainer.set_statistics(windows)
    step = trainer.optimiser.step

    def interrupted():
        step()
        if trainer.step == 2:
            os.kill(os.getpid(), signal.SIGINT)  # weights have moved, the target network has not

    trainer.optimiser.step = interrupted
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(windows, tmp_path, lambda *_: None)
    assert trainer.step == 3 and signal.getsignal(signal.SIGINT) is before
    resumed = Trainer(windows.spec, settings, 0)
    resumed.load(tmp_path)
    for one in (resumed, whole := Trainer(windows.spec, settings, 0)):
        if one is whole:
            one.set_statistics(windows)
        one.train(windows, tmp_path, lambda *_: None)
    assert all(torch.equal(a, b) for a, b in zip(resumed.target.parameters(), whole.target.parameters(), strict=True))


def test_a_gradient_that_is_no_number_does_not_replace_the_checkpoint(tmp_path):
    settings = small_config(steps=3, save_every=1)
    windows = windows_of(tmp_path, None, settings)
    trainer, steps = Trainer(windows.spec, settings, 0), []
    trainer.set_statistics(windows)
    weight = next(trainer.model.encoder.parameters())

    def ruin(gradient):
        steps.append(trainer.step)
        return gradient * (float("nan") if trainer.step == 1 else 1.0)

    weight.register_hook(ruin)
    with pytest.raises(QtxError, match="norm of the gradient at step 2 is nan"):
        trainer.train(windows, tmp_path, lambda *_: None)
    groups, progress = checkpoint.load_checkpoint(tmp_path)
    assert progress["step"] == 1 and all(value.isfinite().all() for value in groups["model"].values())


def test_gradients_are_clipped_to_their_norm(tmp_path):
    windows = windows_of(tmp_path, None, small_config())
    batch = windows.batch(np.arange(8))

    def gradient(clip: float) -> tuple[float, torch.Tensor]:
        trainer, seen = Trainer(windows.spec, small_config(clip_norm=clip), 0), []
        step = trainer.optimiser.step

        def look():
            seen.extend(p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None)
            step()

        trainer.optimiser.step = look
        return trainer.update(batch)["gradient_norm"].item(), torch.cat(seen)

    norm, free = gradient(1e6)
    same, clipped = gradient(norm / 4)
    assert same == norm and free.norm().item() == pytest.approx(norm, rel=1e-5)
    torch.testing.assert_close(clipped, free / 4, rtol=1e-4, atol=1e-9)


def test_a_run_is_not_overwritten_nor_continued_with_other_settings_or_data(tmp_path, capsys):
    write_small_set(tmp_path / "set", small_spec())
    assert cli.main(command(tmp_path, small_config(steps=1))) == 0
    assert cli.main(command(tmp_path, small_config(steps=1))) == 1
    assert "--resume" in capsys.readouterr().err
    assert cli.main(command(tmp_path, small_config(steps=2), "run", "--resume", "--seed", "5")) == 1
    assert "begun with steps 1 (now 2), seed 0 (now 5)" in capsys.readouterr().err
    write_small_set(tmp_path / "set", small_spec(), seed=1)
    assert cli.main(command(tmp_path, small_config(steps=1), "run", "--resume")) == 1
    assert "other data" in capsys.readouterr().err


def test_a_run_holds_spec_config_data_and_curves(tmp_path):
    write_small_set(tmp_path / "set", small_spec())
    assert cli.main(command(tmp_path, small_config(), "run", "--seed", "3")) == 0
    run = checkpoint.open_run(tmp_path / "run")
    assert run.spec == small_spec() and run.config == small_config() and run.seed == 3
    assert run.data["mix"] == {"do it": {"success": 2, "failure": 2}}
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert not [path for path in (tmp_path / "run").rglob("*") if path.suffix in (".pt", ".pkl", ".pickle")]


def test_failed_episodes_can_be_left_out(tmp_path):
    write_small_set(tmp_path / "set", small_spec())
    settings = small_config(method="bc", episodes="success")
    assert cli.main(command(tmp_path, settings)) == 0
    assert checkpoint.open_run(tmp_path / "run").data["mix"] == {"do it": {"success": 2}}


def test_what_a_policy_collected_is_no_demonstration(tmp_path):
    root = write_small_set(tmp_path / "set", small_spec())
    manifest = root / "episode0" / "manifest.json"  # a success
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"collector": "policy"}))
    for episodes, count in (("all", 4), ("success", 2), ("demonstrations", 1)):
        assert len(train.open_dataset([str(root)], small_config(episodes=episodes))) == count


def test_a_discount_that_hides_the_end_from_the_start_is_told():
    note = train.discount_note([240, 250, 260], TrainConfig(gamma=0.98))
    assert "250 ticks, so with gamma 0.98 its end is worth 0.0064" in note and "0.996 would leave a third" in note
    assert train.discount_note([100], TrainConfig(gamma=0.98)) == ""  # 0.98^100 is 0.13
    assert train.discount_note([250], TrainConfig(method="bc", gamma=0.98)) == ""


def prepared(folder, **changes) -> dict:
    """A batch of a small robot with a memory, as the methods get it."""
    settings = small_config(**{"shift": 0, "model": replace(SMALL, memory=3), **changes})
    windows = windows_of(folder, None, settings)
    trainer = Trainer(windows.spec, settings, 0)
    trainer.set_statistics(windows)
    return {"std": trainer.model.encoder.state_std, **trainer.prepare(windows.batch(np.arange(5, len(windows))))}


def test_what_the_settings_ask_for_is_done_to_a_batch(tmp_path):
    plain = prepared(tmp_path)
    moved = prepared(tmp_path, shift=2)["frames"]
    assert not torch.equal(moved, plain["frames"])
    assert not torch.equal(prepared(tmp_path, colour=0.5)["frames"], plain["frames"])
    noise = (prepared(tmp_path, state_noise=0.1)["state"] - plain["state"]) / plain["std"]
    assert noise.std().item() == pytest.approx(0.1, rel=0.4) and noise.mean().abs() < 0.05
    forgetful = prepared(tmp_path, model=replace(SMALL, memory=3, memory_dropout=1.0))["past_bins"]
    assert (forgetful == -1).sum() > (plain["past_bins"] == -1).sum()


def test_tightened_targets_see_the_first_step(tmp_path):
    for tighten in (True, False):
        windows = windows_of(tmp_path, None, small_config(n_step=2, tighten=tighten))
        assert ("near" in windows.batch(np.arange(4))) == tighten


def test_a_batch_that_does_not_tell_the_first_step_cannot_be_tightened(tmp_path):
    plain, tightened = small_config(n_step=2), small_config(n_step=2, tighten=True)
    batch = windows_of(tmp_path, None, plain).batch(np.arange(4))
    with pytest.raises(QtxError, match="tighten is true, but the batch lacks `near`"):
        Trainer(small_spec(), tightened, 0).update(batch)
    near = windows_of(tmp_path, None, tightened).batch(np.arange(4))
    losses = [Trainer(small_spec(), plain, 0).update(b)["loss"] for b in (batch, near)]
    assert torch.equal(*losses)  # nor is it tightened unless asked for
