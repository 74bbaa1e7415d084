"""The trainer. What a step draws depends on seed and step only, so a run can be resumed bit for bit."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from qtx_ros.data.dataset import Dataset, Windows
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint, contexts, rules_regularise
from qtx_ros.learn.augment import colour, drop_text, move_bins, shift
from qtx_ros.learn.contexts import Batch
from qtx_ros.learn.forget import forget
from qtx_ros.learn.information import Search
from qtx_ros.learn.methods import METHODS
from qtx_ros.learn.parallel import ALONE, World, check_share
from qtx_ros.learn.rebuild import Rebuild
from qtx_ros.learn.sentences import text_reader
from qtx_ros.learn.settings import TrainConfig, learning_rate
from qtx_ros.model.hyper import HyperConnection
from qtx_ros.model.policy import QTransformer
from qtx_ros.spec import Spec

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
SAMPLE = 256  # transitions whose frames tell the mean picture
DRAWN = 1 << 16  # no process has this rank: random numbers of the search
STD_FLOOR = 0.02  # added to the standard deviation of each state entry, in its unit: a still joint stays small


class Trainer:
    """Network, target network and optimiser of one run."""

    def __init__(self, spec: Spec, config: TrainConfig, seed: int, world: World = ALONE) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        check_share(config, world)
        keep_freed_memory()
        self.spec, self.config, self.seed, self.step, self.world = spec, config, seed, 0, world
        self.seconds = 0.0  # spent in training steps, over all resumed parts [s]
        self.device = _device(config.device, world)
        self.model = build_model(spec, config, seed).to(self.device)
        self.model.encoder.bfloat16, self.model.encoder.at_once = config.precision == "bfloat16", config.recompute
        self.target = copy.deepcopy(self.model).eval().requires_grad_(False)
        if config.compile:
            for network in (self.model, self.target):
                network.encoder.compile(dynamic=True)
        start = self.model.named_parameters() if config.regenerative else ()
        self.initial = {name: parameter.detach().clone() for name, parameter in start}
        self.rebuild = build_rebuild(self.model, config, seed).to(self.device) if config.rebuild else None
        self.search = Search(config, self.device) if config.search else None
        groups = [group for part in self._parts() for group in _decay_groups(part, config.weight_decay)]
        self.optimiser = torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, config.beta2), fused=True)

    def _parts(self) -> list[nn.Module]:
        """What gradients reach."""
        return [self.model, *([self.rebuild] if self.rebuild else [])]

    def set_statistics(self, windows: Windows) -> None:
        """Take what depends on the data from it, as the normalisation of the state; before the first step."""
        state = windows.state[windows.valid].astype(np.float64)
        mean, std = state.mean(0), state.std(0) + STD_FLOOR
        for network in (self.model, self.target):
            network.encoder.state_mean.copy_(torch.as_tensor(mean))
            network.encoder.state_std.copy_(torch.as_tensor(std))
        if self.rebuild:
            some = np.linspace(0, len(windows) - 1, SAMPLE).astype(int)
            self.rebuild.set_statistics(torch.as_tensor(windows.batch(some)["frames"]).to(self.device))
        if self.search:
            self.search.cover(len(windows), self.model.code.places)

    def update(self, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
        """One gradient step on a batch as `Windows.batch` gives it; returns what to log, scalars."""
        loss, metrics = self.loss(self.prepare(arrays))
        loss.backward()
        return {name: value.detach() for name, value in {"loss": loss, **metrics, **self.apply()}.items()}

    def prepare(self, arrays: dict[str, np.ndarray]) -> Batch:
        """What a method gets of a batch as `Windows.batch` gives it: checked, on the device, augmented."""
        check_bins(arrays["bins"], self.model.bins)
        return self._augment(to_tensors(arrays, self.device))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss that the next gradient step descends, and what to log beside it."""
        self.model.train()
        if self.rebuild:
            used = batch["here"].unique()
            batch = {**batch, contexts.ENCODED: contexts.encode(self.model, batch, used)}
        given = self.model, self.target, batch, self.config
        if self.search:
            loss, metrics = self.search.loss(*given, self._generator(DRAWN))
        else:
            loss, metrics = METHODS[self.config.method](*given)
        if self.rebuild:
            error = self.rebuild(batch[contexts.ENCODED], batch["frames"][used])
            loss, metrics["rebuild"] = loss + self.config.rebuild * error, error
        if self.config.regenerative:
            distance = rules_regularise.regenerative_loss(self.model.parameters(), self.initial.values())
            loss, metrics["regenerative"] = loss + self.config.regenerative * distance, distance
        return loss, metrics

    def apply(self) -> dict[str, Tensor]:
        """A step along the gradients, averaged over all processes; they are gone then."""
        rate = learning_rate(self.step, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        parameters = [p for part in self._parts() for p in part.parameters()]
        self.world.average([p.grad for p in parameters if p.grad is not None])
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._follow()
        self.step += 1
        if self.search:
            self.search.end_step(self.model, self.target, self.optimiser)
        return {"gradient_norm": norm, "learning_rate": torch.tensor(rate, device=self.device)}

    def _generator(self, *more: int) -> torch.Generator:
        """Random numbers of this step."""
        seeds = np.random.SeedSequence([self.seed, self.step, *more]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seeds[0]) >> 1)

    def _augment(self, batch: Batch) -> Batch:
        config, generator = self.config, self._generator()  # draws for the whole batch, the same in all processes
        draw, count = batch["draw"], len(batch["draw"]) * self.world.size
        owners = draw[batch["owner"]]
        frames = shift(batch["frames"], owners, count, config.shift, generator)
        batch = {**batch, "frames": colour(frames, owners, count, config.colour, generator)}
        batch["tokens"] = drop_text(batch["tokens"], draw, count, config.text_drop, generator)
        generator = generator if self.world.leads else self._generator(self.world.rank)  # what follows is of the share
        if config.state_noise:
            noise = torch.randn(batch["state"].shape, generator=generator).to(self.device)
            batch["state"] = batch["state"] + noise * config.state_noise * self.model.encoder.state_std
        if config.model.memory:
            batch["past_bins"] = forget(batch["past_bins"], config.model.memory_dropout, generator)
        bins = move_bins(batch["bins"], self.model.bins, config.bin_noise, generator)
        batch["bins"] = self.model.to_tokens(bins, generator)  # what methods and rules call bins
        return batch

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the target network towards the online one: an exponential moving average, or a copy now and then."""
        every = self.config.target_every
        rate = float((self.step + 1) % every == 0) if every else self.config.target_rate
        torch._foreach_lerp_(list(self.target.parameters()), list(self.model.parameters()), rate)
        for target, online in zip(self.target.buffers(), self.model.buffers(), strict=True):
            target.copy_(online)  # the statistics of batch norms

    # --- checkpoint ---

    def save(self, folder: Path) -> None:
        """Replace the run's checkpoint by this state; the first process does."""
        if not self.world.leads:
            return
        state = self.optimiser.state_dict()["state"]
        groups = {
            "model": self.model.state_dict(),
            "target": self.target.state_dict(),
            "initial": self.initial,
            "rebuild": self.rebuild.state_dict() if self.rebuild else {},
            "search": self.search.state_dict() if self.search else {},
            "optimiser": {f"{i}/{name}": value for i, named in state.items() for name, value in named.items()},
        }
        checkpoint.save_checkpoint(folder, groups, {"step": self.step, "seconds": self.seconds})

    def load(self, folder: Path) -> None:
        """Continue from the run's checkpoint."""
        groups, progress = checkpoint.load_checkpoint(folder, str(self.device))
        self.model.load_state_dict(groups["model"])
        self.target.load_state_dict(groups["target"])
        self.initial = {name: groups["initial"][name] for name in self.initial}
        if self.rebuild:
            self.rebuild.load_state_dict(groups["rebuild"])
        if self.search:
            self.search.load_state_dict(groups["search"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in groups.get("optimiser", {}).items():
            index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]})
        self.step, self.seconds = progress["step"], progress["seconds"]

    # --- the loop ---

    def train(self, windows: Windows, folder: Path, log: Callable[[int, dict], None]) -> None:
        """Train until `config.steps`, saving every `save_every` steps, at the end, and on Ctrl-C."""
        config = self.config
        share = self.world.rank, self.world.size
        batches = windows.batches(config.batch_size, self.seed, self.step, config.loader_threads, share)
        look = {"unit": "step", "dynamic_ncols": True, "mininterval": 0.5, "disable": not self.world.leads}
        bar = tqdm(total=config.steps, initial=self.step, **look)
        try:
            while self.step < config.steps:
                start, batch = time.perf_counter(), next(batches)
                with whole():
                    metrics = self.update(batch)
                    self.seconds += time.perf_counter() - start
                bar.update()
                last, due = self.step == config.steps, self.step % config.save_every == 0
                if self.step % config.log_every == 0 or due or last:
                    self.world.average(list(metrics.values()))
                    scalars = _finite(metrics, self.step)
                    bar.set_postfix(loss=f"{scalars['loss']:.4f}")
                    log(self.step, scalars)
                if due and not last:
                    self.save(folder)
        except KeyboardInterrupt:
            self.save(folder)
            raise
        finally:
            bar.close()
            batches.close()
        self.save(folder)


def build_model(spec: Spec, config: TrainConfig, seed: int) -> QTransformer:
    """The network with the initial weights of a seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return QTransformer(spec, config.model)


def build_rebuild(model: QTransformer, config: TrainConfig, seed: int) -> Rebuild:
    """The decoder of pictures with the initial weights of a seed; QtxError if there is no picture."""
    if not model.cameras:
        raise QtxError(f"training: rebuild is {config.rebuild}, expected 0: the robot has no camera")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Rebuild(model.tokens, model.config.width, model.cameras)


def open_windows(dataset: Dataset, config: TrainConfig, read: Callable[[str], np.ndarray] | None = None) -> Windows:
    """The transitions that a configuration trains on; their frames in memory if they fit into `cache_mb`.

    `read` makes an array of an instruction, by default as the configuration's text encoder does.
    """
    frame = sum(camera.height * camera.width * 3 for camera in dataset.spec.cameras)  # [B] a tick
    cache = frame * sum(len(episode) for episode in dataset.episodes) <= config.cache_mb * 1e6
    failures = "terminal" if config.truncation_is_failure else "truncated"
    options = {"discount": config.gamma, "failures": failures, "cache": cache, "chunk": config.chunk}
    options |= {"memory": config.model.memory, "near": config.tighten, "numbered": config.search > 0}
    return Windows(dataset, steps=config.n_step, read=read or text_reader(config.model), **options)


def check_bins(bins: np.ndarray, counts: tuple[int, ...]) -> None:
    """QtxError if a bin of int [B, D] is outside its dimension: it would be read as a bin of the next one."""
    outside = (bins < 0) | (bins >= np.array(counts))
    if outside.any():
        row, dimension = np.argwhere(outside)[0]
        raise QtxError(
            f"a batch holds bin {bins[row, dimension]} in dimension {dimension}, expected 0 to {counts[dimension] - 1}"
        )


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, so what is saved then is a whole step."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    asked: list[tuple] = []
    before = signal.signal(signal.SIGINT, lambda *what: asked.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if asked and callable(before):
        before(*asked[0])


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks: a step takes and frees tens of megabytes, and fresh pages cost half its time."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def to_tensors(arrays: dict[str, np.ndarray], device: torch.device) -> Batch:
    """Tensors on `device` of the arrays of a batch."""
    return {name: torch.as_tensor(array).to(device, non_blocking=True) for name, array in arrays.items()}


def _device(name: str, world: World) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and world.size > 1:
        name = f"cuda:{world.local}"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise QtxError(f"training: device {name!r} cannot be used: {str(error).splitlines()[0]}") from None


def _decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay on what has two dimensions or more, embeddings too; none on biases and norms of layers, nor on the
    static part of hyper-connections, which without a gradient should stay the plain residual connection."""
    static = {id(module.mix) for module in model.modules() if isinstance(module, HyperConnection)}
    groups = [], []
    for parameter in model.parameters():
        groups[parameter.ndim >= 2 and id(parameter) not in static].append(parameter)
    free, decaying = groups
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _finite(metrics: dict[str, Tensor], step: int) -> dict[str, float]:
    """The numbers of a step; QtxError if it ruined the weights: a gradient can be NaN where the loss is not."""
    scalars = {name: value.item() for name, value in metrics.items()}
    for name, what in (("loss", "loss"), ("gradient_norm", "norm of the gradient")):
        if not np.isfinite(scalars[name]):
            found = f"the {what} at step {step} is {scalars[name]}"
            raise QtxError(f"training diverged: {found}, try a smaller learning_rate")
    return scalars
