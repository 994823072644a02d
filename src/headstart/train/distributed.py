"""One training in several processes: started by torchrun, one process a GPU (or a share of CPU cores), gloo or nccl.

Every process draws the same batch and takes its slice, so that a training is the same whatever their number. Process 0
alone writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, distributed

from headstart.errors import UsageError
from headstart.train.devices import chosen_devices, seat

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """This process among those that train together. The default is one process on the CPU."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def slice_of(self, count: int) -> slice:
        """This process's part of `count` things, where all have equally many. Raises UsageError otherwise."""
        if count % self.size:
            raise UsageError(
                f"a batch of {count} images cannot be shared equally by {self.size} processes. "
                f"Choose a batch size that is a multiple of {self.size}."
            )
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def share_of(self, count: int) -> range:
        """Which of `count` things this process evaluates: every `size`-th, nothing padded and nothing twice."""
        return range(self.rank, count, self.size)

    def any(self, flag: bool) -> bool:
        """Whether it is set in some process."""
        return any(self.gather(flag))

    def mean(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means over processes, by name, in every process."""
        if self.size == 1:
            return losses
        values = torch.stack(list(losses.values()))
        distributed.all_reduce(values)
        return dict(zip(losses, values / self.size, strict=True))

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank, in every process."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


ALONE = World()


def assigned_world() -> World:
    """This process, in the group that it has joined, if any, on the device that it was given
    (`headstart.train.devices.take_seat`)."""
    device = torch.device(seat().device)
    _settle(device)
    if distributed.is_available() and distributed.is_initialized():
        return World(distributed.get_rank(), distributed.get_world_size(), device)
    return World(device=device)


def _settle(device: torch.device) -> None:
    """Make a GPU the one that this process works on; "fp32" is then single precision, not TF32."""
    if device.type == "cpu":
        return
    torch.get_device_module(device).set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def choose_device(name: str = "auto", local_rank: int = 0) -> torch.device:
    """Of the process of this rank on this machine: its own GPU of those that `name` asks for, or the CPU.

    Raises UsageError for GPUs that are not there, or fewer than processes.
    """
    names = chosen_devices(name).names
    if not names:
        return CPU
    if local_rank >= len(names):
        raise UsageError(
            f"--device {name}: this is process {local_rank} on this machine, counted from 0, but there are "
            f"{len(names)} GPUs for it and the others. Start as many processes as GPUs, one a GPU."
        )
    return torch.device(names[local_rank])


@contextmanager
def joined(device: str = "auto") -> Iterator[World]:
    """The processes that torchrun started together (RANK, WORLD_SIZE, LOCAL_RANK), or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    here = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    _settle(here)
    if size == 1:
        yield World(device=here)
        return
    with process_group(here.type):
        yield World(distributed.get_rank(), distributed.get_world_size(), here)


@contextmanager
def process_group(kind: str, **meeting: Any) -> Iterator[None]:
    """Those that train together on devices of a kind, found as `init_process_group` says; left at the end.

    Left means that the threads of the group are gone. `torch.distributed.nn` takes the group of the moment at which it
    is imported as a default of its functions, so that an import later on, such as DistributedDataParallel's, would keep
    the group until Python ends, and a thread of it that still gives a tensor back then ends a finished training with
    SIGABRT ("terminate called without an active exception").
    """
    import_module("torch.distributed.nn.functional")
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo", **meeting)
    try:
        yield
    finally:
        distributed.destroy_process_group()
