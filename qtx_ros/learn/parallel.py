"""Training in several processes, as `torchrun` starts them: which of them this is, and averages over all.

Each takes its share of the same global batch, gradients are averaged, and every process makes the same step: their
weights stay equal bit for bit without ever being sent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from qtx_ros.errors import QtxError
from qtx_ros.learn.settings import TrainConfig


@dataclass(frozen=True)
class World:
    """This process among `size`; `local` counts those of this machine and is the number of its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes what all have in common."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.size > 1:
            dist.barrier()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes; all of them are on the device of the training."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


ALONE = World()


@contextlib.contextmanager
def joined(device: str) -> Iterator[World]:
    """The processes that torchrun started with this one, connected; this one alone without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    world = World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if cuda:
        torch.cuda.set_device(world.local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield world
    finally:
        dist.destroy_process_group()


def check_share(config: TrainConfig, world: World) -> None:
    """QtxError unless all processes get equally many transitions of a batch, and compute what one would."""
    size = config.batch_size
    if size % world.size:
        raise QtxError(f"training: batch_size is {size}, expected a multiple of the {world.size} processes")
    if world.size > 1 and config.search:
        raise QtxError(f"training: search keeps its tables in one process, there are {world.size}: use search 0")
    if world.size > 1 and config.model.encoder == "maxvit" and config.model.maxvit.norm == "batch":
        raise QtxError(f"training: maxvit.norm batch needs the whole batch, there are {world.size} processes: use rms")
